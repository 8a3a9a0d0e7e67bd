"""From a fault to its row of the table: make it, wait until all has recovered, check."""

import time
from dataclasses import dataclass
from typing import Final

from producer.selection import Selection
from tests.chaos.faults import Fault
from tests.chaos.rig import Rig
from tests.chaos.run import Run
from tests.chaos.schedule import chance
from tests.chaos.verdict import Verdict, judge

PATIENCE_SECONDS: Final = 240.0

# Each fault has this many meta_ids of its own.
IDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Result:
    """A row of the table.

    Attributes:
        fault: its name.
        events: how many were accepted.
        strikes: how often the fault was made.
        refused: how many messages the client refused with an error of its contract, to be sent again.
        verdict: what the check says.
        seconds: from the last strike until nothing was outstanding.
    """

    fault: str
    events: int
    strikes: int
    refused: int
    verdict: Verdict
    seconds: float


def try_fault(rig: Rig, fault: Fault, *, seed: int, events: int, number: int) -> Result:
    """Make one fault among so many events, and check what became of them.

    Args:
        rig: which is whole before and after.
        fault: to make.
        seed: of all that is left to chance.
        events: how many to enqueue.
        number: no two runs on one rig have the same.
    """
    rig.client.dead.purge(Selection())
    run = Run(
        rig,
        fault.name,
        chance(seed, fault.name),
        first_id=number * IDS,
        events=events,
        strikes=fault.strikes(events),
    )
    try:
        fault.make(run)
        last_strike = run.last_strike or time.monotonic()
        stuck = rig.settled(PATIENCE_SECONDS)
        seconds = time.monotonic() - last_strike
    finally:
        rig.oss.clear()
        rig.stack.wait_ready()
    rows, counted = rig.rows(run.ids)
    verdict = judge(run.accepted, rows, rig.client.dead_letters(), counted=counted, stuck=stuck)
    return Result(fault.name, run.sent, run.struck, run.refused, verdict, seconds)
