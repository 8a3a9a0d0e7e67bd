"""Schedules of faults: the same seed makes the same one, whatever else is run."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Final, TypeVar

_SMALLEST_BATCH: Final = 10
_LARGEST_BATCH: Final = 20

_T = TypeVar("_T")


def chance(seed: int, fault: str) -> Random:
    """What all that one fault leaves to chance is drawn from."""
    return Random(f"{seed}/{fault}")


@dataclass(frozen=True, slots=True)
class Strike:
    """One blow: so many seconds after its burst of events begins, against one of several targets."""

    after: float
    target: str


def strikes(random: Random, count: int, targets: Sequence[str], *, within: float) -> list[Strike]:
    """Plan blows that take turns among the targets, so that no target is struck while it still starts."""
    order = random.sample(targets, len(targets))
    return [Strike(random.uniform(0, within), order[number % len(order)]) for number in range(count)]


def shares(items: Sequence[_T], count: int) -> list[Sequence[_T]]:
    """Cut items into so many runs of the same length, give or take one."""
    edges = [len(items) * number // count for number in range(count + 1)]
    return [items[begin:end] for begin, end in pairwise(edges)]


def batches(random: Random, items: Sequence[_T]) -> list[Sequence[_T]]:
    """Cut items into messages of 10 to 20."""
    cut = []
    while items:
        size = random.randint(_SMALLEST_BATCH, _LARGEST_BATCH)
        cut.append(items[:size])
        items = items[size:]
    return cut
