"""Processes that are killed or stopped while they work."""

from contextlib import AbstractContextManager

from devstack.oss import Fault as Broken
from devstack.oss import Rule
from devstack.programs import Kind
from tests.chaos.faults.registry import fault
from tests.chaos.run import Run


def _far_bucket(run: Run) -> AbstractContextManager[Rule]:
    """Have every object take some 30 ms, as over a network, so that workers have batches in their hands."""
    return run.rig.oss.active(Broken("drip", method="GET", times=None, chunk=8192, interval=0.03))


@fault("worker-killed", few=3, many=25)
def kill_workers(run: Run) -> None:
    """kill -9 of an ingest worker."""
    with _far_bucket(run):
        run.strike_all(run.kill, run.rig.ingest_workers, within=0.6)


@fault("workers-restarted", few=2, many=8)
def restart_workers(run: Run) -> None:
    """SIGTERM to one ingest worker after the other, as a rolling deployment does."""
    with _far_bucket(run):
        run.strike_all(run.rig.stack.restart, run.rig.ingest_workers, within=0.3)


@fault("valkey-killed", few=1, many=5)
def kill_valkey(run: Run) -> None:
    """kill -9 of Valkey, which is broker, result backend and ledger."""

    def blow(name: str) -> None:
        run.kill(name)
        run.rig.stack.wait_ready()

    with _far_bucket(run):
        run.strike_all(blow, [Kind.VALKEY], within=0.6)


@fault("milvus-killed", few=1, many=3)
def kill_milvus(run: Run) -> None:
    """kill -9 of Milvus."""

    def blow(name: str) -> None:
        run.kill(name)
        run.rig.stack.wait_ready(name)

    with _far_bucket(run):
        run.strike_all(blow, [Kind.MILVUS], within=0.6)
