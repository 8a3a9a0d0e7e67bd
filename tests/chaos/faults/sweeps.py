"""Messages that are lost, and sweeps that are disturbed."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from contract import INGEST_QUEUE
from tests.chaos.faults.registry import fault
from tests.chaos.run import Run
from tests.chaos.schedule import shares
from tests.chaos.verdict import Upload
from worker.services.sweeper import Sweeper

_SMALL_BATCH: Final = 2  # events in a message, so that a sweep has much to publish
_SWEEP_BEGINS_SECONDS: Final = 30.0
_SWEEPERS: Final = 4
_SWEEPING_SECONDS: Final = 4.5


def _lose(run: Run, uploads: Sequence[Upload]) -> int:
    """Enqueue events, and lose the messages that no worker has taken by then."""
    run.send(uploads, size=_SMALL_BATCH)
    with run.rig.broker.pipeline() as pipeline:
        lost, _ = pipeline.llen(INGEST_QUEUE).delete(INGEST_QUEUE).execute()
    return int(lost)


@fault("sweeper-killed", few=1, many=4)
def kill_sweeper(run: Run) -> None:
    """The queue is lost, and the worker that sweeps is killed when it has published a part of it."""
    rig = run.rig
    for burst in shares(run.uploads, run.strikes):
        rig.stack.wait_ready(rig.search_worker)
        with rig.ingest_paused():
            lost = _lose(run, burst)
            part = run.random.randrange(1, max(2, lost * 3 // 4))
            deadline = time.monotonic() + _SWEEP_BEGINS_SECONDS
            while rig.waiting() < part and time.monotonic() < deadline:
                time.sleep(0.001)
            run.kill(rig.search_worker)


@fault("two-sweepers", few=1, many=4)
def sweep_twice(run: Run) -> None:
    """The queue is lost, and several sweep at once, in two processes."""
    sweeper = Sweeper(run.rig.ledger, run.rig.publisher, now=time.time)
    for burst in shares(run.uploads, run.strikes):
        with run.rig.ingest_paused():
            run.note_strike(_lose(run, burst))
        until = time.monotonic() + _SWEEPING_SECONDS

        def sweep(until: float = until) -> None:
            while time.monotonic() < until:
                run.rig.sweep()
                sweeper()

        with ThreadPoolExecutor(_SWEEPERS) as threads:
            for done in [threads.submit(sweep) for _ in range(_SWEEPERS)]:
                done.result()
        run.note_strike(0)


FAULTS: Final = (kill_sweeper, sweep_twice)
