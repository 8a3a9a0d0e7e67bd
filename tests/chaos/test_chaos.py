"""Whatever is killed, every event that was accepted ends as its row or as a dead letter that says why."""

from collections.abc import Iterator

import pytest

from tests.chaos.faults import FAULTS, Fault
from tests.chaos.harness import try_fault
from tests.chaos.rig import Rig

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
    number = list(FAULTS).index(fault.name)
    result = try_fault(rig, fault, seed=SEED, events=EVENTS, number=number)
    assert result.verdict.holds, f"{result}"
    assert result.events >= EVENTS * 3 // 4
    assert result.strikes
    print(result)
