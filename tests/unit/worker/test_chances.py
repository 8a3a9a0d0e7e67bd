"""Estimates are kept for each tenant, and made anew in the background."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from contract import PROFILES
from worker.core.chance import Estimate
from worker.core.errors import Transient
from worker.ports import Sample
from worker.services import chances
from worker.services.chances import Chances

ENOUGH = 5000


@dataclass
class Index:
    """An index of so many rows, which says what it was asked for."""

    totals: dict[int | None, int]
    asked: list[int | None] = field(default_factory=list)
    down: bool = False

    def sample(self, company_id: int | None, most: int) -> Sample:
        """At most three vectors of zeros."""
        self.asked.append(company_id)
        if self.down:
            raise Transient("down")
        total = self.totals[company_id]
        return Sample(bytes(8 * min(total, 3, most)), total)


@dataclass
class Bench:
    """What is under test, its clock, and the work that nobody waits for."""

    index: Index
    now: float = 0.0
    later: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Use them."""
        self.chances = Chances(
            self.index,
            lambda sample: Estimate.of(PROFILES["ahash"], sample.vectors, sample.total),
            start=self.later.append,
            monotonic=lambda: self.now,
        )

    def total(self, company_id: int | None = 1) -> int:
        """Of the estimate that is served."""
        return self.chances.of(company_id).total

    def renew(self) -> None:
        """Do what nobody waits for."""
        while self.later:
            self.later.pop()()


def test_stale_is_served_while_it_is_renewed() -> None:
    """The first caller waits; later ones get what there is, and one of them has it renewed."""
    bench = Bench(Index({1: ENOUGH}))
    assert bench.total() == ENOUGH
    bench.index.totals[1], bench.now = 2 * ENOUGH, 1.0
    assert [bench.total(), bench.total()] == [ENOUGH, ENOUGH]
    assert len(bench.later) == 1
    bench.renew()
    assert bench.total() == 2 * ENOUGH
    assert bench.index.asked == [1, 1]


def test_what_does_not_change_is_kept_for_longer() -> None:
    """A tenant that keeps its size is sampled every ten minutes in the end; one that grows, soon again."""
    bench = Bench(Index({1: ENOUGH}))
    bench.total()
    for _ in range(10):
        bench.now += 601
        bench.total()
        bench.renew()
    bench.now += 599
    bench.total()
    assert not bench.later
    bench.index.totals[1], bench.now = 2 * ENOUGH, bench.now + 2
    bench.total()
    bench.renew()
    bench.now += 31
    bench.total()
    assert bench.later


def test_a_failed_renewal_leaves_what_there_is() -> None:
    """While the index is down the old estimate is served, and renewed once it is back."""
    bench = Bench(Index({1: ENOUGH}))
    bench.total()
    bench.index.down, bench.now = True, 1.0
    bench.total()
    bench.renew()
    assert bench.total() == ENOUGH
    bench.index.down, bench.now, bench.index.totals[1] = False, 40.0, ENOUGH + 1
    bench.total()
    bench.renew()
    assert bench.total() == ENOUGH + 1


def test_without_any_the_error_is_the_callers() -> None:
    """Where there is no estimate yet and the index is down, the caller is told, and the next one asks again."""
    bench = Bench(Index({1: ENOUGH}, down=True))
    with pytest.raises(Transient):
        bench.total()
    bench.index.down = False
    assert bench.total() == ENOUGH


def test_small_tenants_take_the_sample_of_all() -> None:
    """A small tenant's shape is that of all tenants, its count is its own."""
    bench = Bench(Index({1: 10, None: ENOUGH}))
    assert bench.total() == 10
    assert bench.index.asked == [1, None]


def test_the_least_used_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many tenants are kept, those that were searched last."""
    monkeypatch.setattr(chances, "_TENANTS", 2)
    bench = Bench(Index(dict.fromkeys([1, 2, 3], ENOUGH)))
    for company_id in [1, 2, 1, 3, 1, 2]:
        bench.total(company_id)
    assert bench.index.asked == [1, 2, 3, 2]
