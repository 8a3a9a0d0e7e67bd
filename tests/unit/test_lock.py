"""The lock installs what is needed, from nowhere in particular."""

import re
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

LOCKS = sorted((Path(__file__).parents[2] / "requirements").glob("*.txt"))


def pinned(lock: Path) -> dict[str, Requirement]:
    """The requirements of a lock by name; of several for one name, the last."""
    lines = re.findall(r"^([a-z0-9].*?) \\$", lock.read_text(), re.MULTILINE)
    return {requirement.name: requirement for requirement in map(Requirement, lines)}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_requirement_is_pinned_with_hashes_and_names_no_host(lock: Path) -> None:
    """What is installed is what was locked, from whichever index the machine uses."""
    text = lock.read_text()
    blocks = re.split(r"\n(?=[a-z0-9])", text.strip())
    assert all("==" in block.splitlines()[0] and "--hash=sha256:" in block for block in blocks)
    assert not re.search(r"https?://|--index-url|--find-links", text)


@pytest.mark.parametrize("name", ["client.txt", "worker.txt", "dev.txt"])
def test_what_kombu_needs_for_redis_is_there(name: str) -> None:
    """Its Redis transport imports what only its extra declares; the dev tools would hide that it is missing."""
    (lock,) = [lock for lock in LOCKS if lock.name == name]
    needed = [Requirement(line) for line in requires("kombu") or [] if re.search(r"extra == .redis.", line)]
    assert needed
    assert {requirement.name for requirement in needed} <= set(pinned(lock))


def test_the_client_has_nothing_of_the_workers() -> None:
    """An application that enqueues installs no Pillow, no pymilvus, no oss2, no numpy."""
    (lock,) = [lock for lock in LOCKS if lock.name == "client.txt"]
    assert not {"pillow", "pymilvus", "oss2", "numpy", "imagehash", "grpcio"} & set(pinned(lock))


@pytest.mark.parametrize("name", ["worker.txt", "dev.txt"])
def test_the_fast_crc_is_the_one_that_is_installed(name: str) -> None:
    """crcmod-plus takes the place of crcmod, whose marker holds on no platform."""
    (lock,) = [lock for lock in LOCKS if lock.name == name]
    requirements = pinned(lock)
    assert "crcmod-plus" in requirements
    marker = requirements["crcmod"].marker
    assert marker is not None
    assert not marker.evaluate()


def test_what_the_benchmark_compares_to_changes_nothing_else() -> None:
    """It is installed beside dev.txt: what is in both has one version, and torch comes nowhere."""
    locks = {lock.name: set(re.findall(r"^[a-z0-9].*?==[^ ]+", lock.read_text(), re.MULTILINE)) for lock in LOCKS}
    of_dev = {line.partition("==")[0] for line in locks["dev.txt"]}
    both = {line for line in locks["bench.txt"] if line.partition("==")[0] in of_dev}
    assert both
    assert both <= locks["dev.txt"]
    marker = pinned(next(lock for lock in LOCKS if lock.name == "bench.txt"))["torch"].marker
    assert marker is not None
    assert not marker.evaluate()
