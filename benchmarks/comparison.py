"""Two ways to do the same, measured in turn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Self, TypeVar

_Measured = TypeVar("_Measured")


def interleave(
    one: Callable[[], _Measured], other: Callable[[], _Measured], pairs: int
) -> list[tuple[_Measured, _Measured]]:
    """Run both, `pairs` times each, in the order ABBA, so that what drifts meanwhile meets both alike.

    Each runs once before that, uncounted: connections are opened, and scripts loaded.
    """
    one()
    other()
    measured = []
    for number in range(pairs):
        if number % 2 == 0:
            first = one()
            measured.append((first, other()))
        else:
            second = other()
            measured.append((one(), second))
    return measured


@dataclass(frozen=True, slots=True)
class Comparison:
    """What something costs with the guarantees, and without.

    Attributes:
        on: with them, the median.
        off: without them, the median.
        ratio: `on / off`; None where it costs nothing without them.
        share: which part of the cost is theirs, `(on - off) / on`: the median over the pairs.
        share_low: its lower quartile.
        share_high: its upper quartile.
    """

    on: float
    off: float
    ratio: float | None
    share: float
    share_low: float
    share_high: float

    @classmethod
    def of(cls, pairs: Sequence[tuple[float, float]]) -> Self:
        """Compare at least two pairs, each of a cost with the guarantees and one without."""
        on, off = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
        low, middle, high = quantiles([_share(*pair) for pair in pairs], n=4, method="inclusive")
        return cls(on, off, on / off if off else None, middle, low, high)


def _share(on: float, off: float) -> float:
    return (on - off) / on if on else 0.0
