"""Processes that are killed or stopped while they work."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Final

from devstack.oss import Fault as Broken
from devstack.oss import Rule
from devstack.programs import Kind
from tests.chaos.faults.registry import fault
from tests.chaos.run import Run
from tests.chaos.schedule import shares

_MILVUS_SECONDS: Final = 90.0
_AWAY_SECONDS: Final = 3.0


def _far_bucket(run: Run) -> AbstractContextManager[Rule]:
    """Have every object take some 30 ms, as over a network, so that workers have batches in their hands."""
    return run.rig.oss.active(Broken("drip", method="GET", times=None, chunk=8192, interval=0.03))


@fault("worker-killed", few=3, many=25)
def kill_workers(run: Run) -> None:
    """An ingest worker is killed (kill -9)."""
    with _far_bucket(run):
        run.strike_all(run.kill, run.rig.ingest_workers, within=0.6)


@fault("workers-restarted", few=2, many=8)
def restart_workers(run: Run) -> None:
    """One ingest worker after the other gets SIGTERM and is started again, as in a rolling deployment."""

    def blow(name: str) -> None:
        run.rig.stack.restart(name)
        run.note_strike()

    with _far_bucket(run):
        run.strike_all(blow, run.rig.ingest_workers, within=0.3)


@fault("valkey-killed", few=1, many=5)
def kill_valkey(run: Run) -> None:
    """Valkey (broker, result backend, ledger) is killed, comes back, and then is away for up to three seconds."""
    stack = run.rig.stack

    def blow(name: str) -> None:
        run.kill(name)
        stack.wait_ready(name)
        stack.stop(name)
        time.sleep(run.random.uniform(0, _AWAY_SECONDS))
        run.note_strike(0)
        stack.start(name)
        stack.wait_ready()

    with _far_bucket(run):
        run.strike_all(blow, [Kind.VALKEY.value], within=0.6)


@fault("milvus-killed", few=1, many=3)
def kill_milvus(run: Run) -> None:
    """Milvus is killed."""

    def blow(name: str) -> None:
        run.kill(name)
        run.rig.stack.wait_ready(name)

    with _far_bucket(run):
        # It is struck while it is read and written, not while it still loads the collection.
        run.strike_all(blow, [Kind.MILVUS.value], within=0.6, rest=_MILVUS_SECONDS)


@fault("started-backwards", few=1, many=3)
def start_backwards(run: Run) -> None:
    """Everything is stopped, and started again: the workers first, then the services they need, in any order."""
    stack = run.rig.stack
    workers = [name for name, program in stack.programs.items() if not program.kind.is_service]
    services = [name for name in stack.programs if name not in workers]
    for burst in shares(run.uploads, run.strikes):
        run.send(burst)
        stack.stop(*workers, *services)
        run.note_strike()
        with ThreadPoolExecutor(1) as thread:
            started = thread.submit(stack.start, *workers)
            for service in run.random.sample(services, len(services)):
                stack.start(service)
            started.result()


FAULTS: Final = (kill_workers, restart_workers, kill_valkey, kill_milvus, start_backwards)
