"""Schedules of faults."""

from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.schedule import batches, chance, shares, strikes


def test_a_seed_makes_one_schedule_for_each_fault() -> None:
    """The same for the same, another for another seed or fault."""
    schedules = [strikes(chance(*one), 5, ["a", "b"], within=1) for one in [(1, "x"), (1, "x"), (2, "x"), (1, "y")]]
    assert schedules[0] == schedules[1]
    assert schedules[0] != schedules[2]
    assert schedules[0] != schedules[3]


def test_targets_take_turns() -> None:
    """No target is struck twice in a row where there are others, and every strike is within its time."""
    planned = strikes(Random(1), 9, ["a", "b", "c"], within=0.5)
    assert all(one.target != next_one.target for one, next_one in pairwise(planned))
    assert all(0 <= one.after <= 0.5 for one in planned)


@given(st.lists(st.integers()), st.integers(1, 30))
def test_shares_are_even_and_leave_nothing_out(items: list[int], count: int) -> None:
    """In order, and no two differ by more than one."""
    cut = shares(items, count)
    assert [item for share in cut for item in share] == items
    assert len(cut) == count
    assert max(map(len, cut)) - min(map(len, cut)) <= 1


@given(st.lists(st.integers()), st.integers())
def test_batches_leave_nothing_out(items: list[int], seed: int) -> None:
    """In order; of 10 to 20, but for the last."""
    cut = batches(Random(seed), items)
    assert [item for batch in cut for item in batch] == items
    assert all(10 <= len(batch) <= 20 for batch in cut[:-1])
    assert all(1 <= len(batch) <= 20 for batch in cut)
