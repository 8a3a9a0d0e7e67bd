"""Whatever is killed, every event that was accepted ends as its row or as a dead letter that says why."""

from collections.abc import Iterator

import pytest

from tests.chaos.control import lose_one
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.harness import IDS, PATIENCE_SECONDS, try_fault
from tests.chaos.rig import Rig
from tests.chaos.run import Run
from tests.chaos.schedule import chance
from tests.chaos.verdict import Verdict, judge

SEED = 1
EVENTS = 200


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The stack that all faults are made in."""
    with Rig(tmp_path_factory.mktemp("chaos")) as rig:
        yield rig


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_the_promise_holds(rig: Rig, fault: Fault) -> None:
    """No row is missing, doubled or wrong, no dead letter is unexpected, nothing is stuck."""
    if fault.needs is not None and fault.needs not in rig.stack.programs:
        pytest.skip(f"the stack has no {fault.needs}")
    result = try_fault(rig, fault, seed=SEED, events=EVENTS, number=list(FAULTS).index(fault.name))
    assert str(result.verdict) == "as promised"
    assert result.verdict.holds
    assert result.events >= EVENTS
    assert result.strikes > 0


def test_the_check_can_fail(rig: Rig) -> None:
    """Without the ledger, the events of a message that a worker loses are missing: they, and no others."""
    run = Run(rig, "lost", chance(SEED, "lost"), first_id=len(FAULTS) * IDS, events=EVENTS, strikes=1)
    lost = lose_one(run)
    assert rig.settled(PATIENCE_SECONDS) == 0
    rows, counted = rig.rows(run.ids)
    assert lost
    assert judge(run.accepted, rows, (), counted=counted) == Verdict(missing=tuple(lost))
