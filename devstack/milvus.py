"""Milvus standalone from the `milvus` wheel (2.3.5, Linux x86-64): its configuration, and when it is ready.

The binary runs by itself, not through the wheel's launcher, which moves to another port without a word where its own is
taken. Whatever is not set here has the default of Milvus.

What listens where: the embedded etcd (clients and peers) on 127.0.0.1. The gRPC ports of the components, the proxy's
among them, and the port for health and metrics listen on all addresses, because this version binds ":port" and has no
setting for it; `ip` only decides under which address the components find each other. Authentication is off, but in a
secure stack, where the proxy has TLS and users; between the components there is neither. On a machine that untrusted
hosts can reach, a firewall has to keep them from these ports.

Beside the folder that it is given, this version writes its pid and server ids to /run/milvus, or /tmp/milvus for users
who may not write there.
"""

import http.client
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from devstack.certificates import Certificates

# What each port is for. All are chosen by us, so that several stacks run side by side.
PROXY: Final = "milvus"
METRICS: Final = "milvus_metrics"
_ETCD: Final = "milvus_etcd"
_ETCD_PEER: Final = "milvus_etcd_peer"
_PROXY_INTERNAL: Final = "milvus_proxy_internal"
_COMPONENTS: Final = {
    "rootCoord": "milvus_root_coord",
    "queryCoord": "milvus_query_coord",
    "dataCoord": "milvus_data_coord",
    "queryNode": "milvus_query_node",
    "dataNode": "milvus_data_node",
    "indexNode": "milvus_index_node",
}
PORTS: Final = (PROXY, METRICS, _ETCD, _ETCD_PEER, _PROXY_INTERNAL, *_COMPONENTS.values())

# The users of a secure stack.
ROOT: Final = "root"
USER: Final = "lookalike"

_LOOPBACK: Final = "127.0.0.1"
_ANSWER_SECONDS: Final = 1.0

# glog, which the C++ core logs with: to the standard error, warnings and worse. Milvus crashes without this file.
_GLOG: Final = "--logtostderr=true\n--minloglevel=1\n"


def write_config(home: Path, ports: Mapping[str, int], certificates: Certificates | None = None) -> None:
    """Write the configuration that Milvus reads from `configs/` of its working directory, `home`.

    With certificates, clients need TLS and a user.
    """
    configs = home / "configs"
    configs.mkdir(parents=True, exist_ok=True)
    # JSON is YAML.
    (configs / "etcd.yaml").write_text(json.dumps(_etcd(ports), indent=2))
    (configs / "milvus.yaml").write_text(json.dumps(_milvus(home, ports, certificates), indent=2))
    (configs / "glog.conf").write_text(_GLOG)


def environment(binaries: Path, ports: Mapping[str, int]) -> dict[str, str]:
    """Variables for the process."""
    return {
        "DEPLOY_MODE": "STANDALONE",
        "LD_LIBRARY_PATH": str(binaries),
        "METRICS_PORT": str(ports[METRICS]),
    }


def password_name(user: str) -> str:
    """Under which a stack keeps the user's password."""
    return f"milvus.{user}"


def is_ready(ports: Mapping[str, int]) -> bool:
    """Whether every component reports itself healthy, and the proxy takes connections."""
    connection = http.client.HTTPConnection(_LOOPBACK, ports[METRICS], timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/healthz")
        response = connection.getresponse()
        if response.status != http.client.OK or response.read() != b"OK":
            return False
        with socket.create_connection((_LOOPBACK, ports[PROXY]), timeout=_ANSWER_SECONDS):
            return True
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _etcd(ports: Mapping[str, int]) -> dict[str, Any]:
    clients = f"http://{_LOOPBACK}:{ports[_ETCD]}"
    peers = f"http://{_LOOPBACK}:{ports[_ETCD_PEER]}"
    return {
        "name": "default",
        "listen-client-urls": clients,
        "advertise-client-urls": clients,
        "listen-peer-urls": peers,
        "initial-advertise-peer-urls": peers,
        "initial-cluster": f"default={peers}",
        # Milvus keeps its time in etcd, a write every few seconds: without compaction the file grows for ever.
        "auto-compaction-mode": "revision",
        "auto-compaction-retention": "1000",
    }


def _milvus(home: Path, ports: Mapping[str, int], certificates: Certificates | None) -> dict[str, Any]:
    components: dict[str, Any] = {
        name: {"ip": _LOOPBACK, "port": ports[purpose]} for name, purpose in _COMPONENTS.items()
    }
    data = home / "data"
    return components | {
        "proxy": {
            "ip": _LOOPBACK,
            "port": ports[PROXY],
            "internalPort": ports[_PROXY_INTERNAL],
            "http": {"enabled": False},
        },
        "etcd": {
            "endpoints": [f"{_LOOPBACK}:{ports[_ETCD]}"],
            "use": {"embed": True},
            "config": {"path": str(home / "configs" / "etcd.yaml")},
            "data": {"dir": str(data / "etcd")},
            "log": {"level": "error", "path": "stderr"},
        },
        "metastore": {"type": "etcd"},
        "localStorage": {"path": str(data / "storage")},
        "mq": {"type": "rocksmq"},
        # The cache is a share of the machine's memory; the default of 6 % is more than a desktop likes to give.
        "rocksmq": {"path": str(data / "rocksmq"), "lrucacheratio": 0.02},
        "common": {
            "storageType": "local",
            # After a restart nothing can be read before the old sessions have expired: 20 s instead of 30. With less, a
            # machine that stands still for as long (a shared one, starved by its host) loses its Milvus for good.
            "session": {"ttl": 20},
            "security": {"authorizationEnabled": certificates is not None, "tlsMode": 0 if certificates is None else 1},
        },
        "tls": {}
        if certificates is None
        else {
            "serverPemPath": str(certificates.server),
            "serverKeyPath": str(certificates.key),
            "caPemPath": str(certificates.authority),
        },
        # While components wait for each other at start they retry; the default lets them sleep up to 10 s in between.
        "grpc": {"log": {"level": "ERROR"}, "client": {"initialBackOff": 0.1, "maxBackoff": 0.5, "maxMaxAttempts": 60}},
        "log": {"level": "warn", "stdout": True, "file": {"rootPath": ""}},
        "trace": {"exporter": "noop"},
    }
