"""What a stack is to run."""

import platform
from pathlib import Path

import pytest

from devstack import StackError, Workers, plan
from devstack.plan import Plan
from devstack.state import State


def test_without_workers_there_are_services_only() -> None:
    """Workers and Flower are only there when they are asked for."""
    assert Plan().names() == ["valkey", "milvus", "oss"]


def test_there_is_a_worker_for_each_core_and_one_for_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless a number is given, as many processes take uploads as there are cores; their names have numbers."""
    monkeypatch.setattr(plan, "cores", lambda: 3)
    assert Plan(services=(), workers=Workers()).names() == [
        "ingest1",
        "ingest2",
        "ingest3",
        "quarantine1",
        "search1",
        "beat",
        "flower",
    ]
    small = Plan(services=(), workers=Workers(processes=1, flower=False))
    assert small.names() == ["ingest1", "quarantine1", "search1", "beat"]


def test_workers_are_celerys_with_threads_on_their_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker's command names its queue and its pool, and its variables are those that tune workers."""
    monkeypatch.setenv("LOOKALIKE_HASH", "ahash")
    chosen = Plan(workers=Workers(concurrency=5, search_concurrency=2))
    for name, queue, pool in (
        ("ingest2", "ingest", "threads -c 5"),
        ("search1", "search", "threads -c 2"),
        ("quarantine1", "quarantine", "prefork -c 1"),
    ):
        program = chosen.make(name, Path("/d"), State(socket=Path("/d/s")))
        arguments = " ".join(program.command)
        assert f"-m celery -A worker worker -Q {queue} -P {pool} -n {name}@%h" in arguments
        assert program.environment["LOOKALIKE_HASH"] == "ahash"


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Linux", "aarch64"), ("Windows", "AMD64")])
def test_only_linux_on_x86_64_will_do(system: str, machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere the error says what is needed, what this is, and what to use instead."""
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with pytest.raises(StackError, match=f"for Linux x86-64; this is {system} {machine}. Use docker compose"):
        plan.require_platform()
