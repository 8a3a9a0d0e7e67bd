"""What the servers are told."""

import json
from pathlib import Path
from typing import Any

from devstack import milvus, valkey


def numbered_ports() -> dict[str, int]:
    """A port for everything that Milvus listens on."""
    return {name: 20_000 + number for number, name in enumerate(milvus.PORTS)}


def leaves(tree: Any) -> list[Any]:
    """All values of nested dictionaries and lists."""
    if isinstance(tree, dict):
        return [leaf for branch in tree.values() for leaf in leaves(branch)]
    return [leaf for branch in tree for leaf in leaves(branch)] if isinstance(tree, list) else [tree]


def test_milvus_uses_no_port_that_we_did_not_choose(tmp_path: Path) -> None:
    """Each of the chosen ports is in the configuration or the environment, and none of Milvus's own defaults."""
    ports = numbered_ports()
    milvus.write_config(tmp_path, ports)
    files = [json.loads((tmp_path / "configs" / f"{name}.yaml").read_text()) for name in ("milvus", "etcd")]
    text = " ".join(map(str, leaves(files))) + " " + milvus.environment(tmp_path, ports)["METRICS_PORT"]
    assert all(str(port) in text for port in ports.values())
    defaults = (19530, 19529, 53100, 19531, 21123, 21121, 22930, 13333, 21124, 2379, 2380, 9091)
    assert not [port for port in defaults if str(port) in text]


def test_milvus_keeps_everything_in_its_folder(tmp_path: Path) -> None:
    """Every path in the configuration is below the folder, and etcd listens on loopback."""
    milvus.write_config(tmp_path, numbered_ports())
    tree = json.loads((tmp_path / "configs" / "milvus.yaml").read_text())
    paths = [leaf for leaf in leaves(tree) if isinstance(leaf, str) and leaf.startswith("/")]
    assert len(paths) == 4
    assert all(Path(path).is_relative_to(tmp_path) for path in paths)
    etcd = json.loads((tmp_path / "configs" / "etcd.yaml").read_text())
    assert all(etcd[name].startswith("http://127.0.0.1:") for name in ("listen-client-urls", "listen-peer-urls"))


def test_valkey_is_private_durable_and_never_evicts(tmp_path: Path) -> None:
    """Valkey listens on loopback only, syncs its AOF every second, refuses instead of evicting, and has no password."""
    lines = valkey.config(port=20_000, data_dir=tmp_path).splitlines()
    assert {"bind 127.0.0.1", "port 20000", "appendonly yes", "appendfsync everysec"} <= set(lines)
    assert "maxmemory-policy noeviction" in lines
    assert not [line for line in lines if line.startswith("requirepass")]


def test_valkeys_password_is_quoted(tmp_path: Path) -> None:
    """A password may have any characters."""
    lines = valkey.config(port=20_000, data_dir=tmp_path, password='a b"c\\').splitlines()  # noqa: S106 - not one of ours
    assert lines[-1] == 'requirepass "a b\\"c\\\\"'
