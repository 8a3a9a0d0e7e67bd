"""The sign of life that a process gives for the batches that it works on."""

import threading
from collections.abc import Iterable

import pytest

from contract import ServiceUnavailable
from worker.services.leases import Leases


class Renewals:
    """Remembers what was renewed and let go, and until when; fails while it is told to."""

    def __init__(self) -> None:
        self.made: list[tuple[list[str], float]] = []
        self.ended: list[tuple[list[str], float]] = []
        self.down = False
        self.happened = threading.Event()

    def renew(self, batch_ids: Iterable[str], until: float) -> None:
        """Renew."""
        if self.down:
            raise ServiceUnavailable("the ledger is away")
        self.made.append((list(batch_ids), until))
        self.happened.set()

    def let_go(self, batch_ids: Iterable[str], due: float) -> None:
        """Let go."""
        if self.down:
            raise ServiceUnavailable("the ledger is away")
        self.ended.append((list(batch_ids), due))


class Clock:
    """A time that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def test_what_is_held_is_renewed_and_nothing_else() -> None:
    """A batch is renewed from its beginning to its end."""
    renewals, clock = Renewals(), Clock()
    leases = Leases(renewals, seconds=3000, longest=10_000, now=clock)
    with leases.hold("a"):
        leases.renew()
        with leases.hold("b"):
            clock.now += 5
            leases.renew()
    leases.renew()
    leases.close()
    assert renewals.made == [(["a"], 4000.0), (["a", "b"], 4005.0), ([], 4005.0)]


def test_what_is_held_for_too_long_is_reported_once_and_no_longer_renewed() -> None:
    """A batch that hangs is left to another worker; its siblings are not."""
    renewals, clock, reported = Renewals(), Clock(), list[str]()
    leases = Leases(renewals, seconds=3000, longest=100, now=clock, on_hang=reported.append)
    with leases.hold("hangs"):
        clock.now += 60
        with leases.hold("fresh"):
            clock.now += 60
            leases.renew()
            leases.renew()
            assert renewals.made[-1][0] == ["fresh"]
    leases.close()
    assert reported == ["hangs"]


def test_the_batch_of_a_thread_that_hangs_is_reported() -> None:
    """Long before its time is over; the batches of other threads are renewed."""
    renewals, reported, hanging = Renewals(), list[str](), set[int]()
    leases = Leases(
        renewals, seconds=3000, longest=10_000, now=Clock(), hanging=lambda: hanging, on_hang=reported.append
    )
    with leases.hold("mine"):
        hanging.add(threading.get_ident() + 1)
        leases.renew()
        assert reported == []
        hanging.add(threading.get_ident())
        leases.renew()
    leases.close()
    assert reported == ["mine"]
    assert renewals.made == [(["mine"], 4000.0), ([], 4000.0)]


def test_a_ledger_that_is_away_for_a_moment_does_no_harm() -> None:
    """The next renewal is tried all the same."""
    renewals = Renewals()
    leases = Leases(renewals, seconds=3000, longest=100, now=Clock())
    with leases.hold("a"):
        renewals.down = True
        leases.renew()
        renewals.down = False
        leases.renew()
    leases.close()
    assert renewals.made == [(["a"], 4000.0)]


def test_a_batch_that_fails_is_let_go_at_once() -> None:
    """Whoever gets its message next need not wait for the lease to run out; a ledger that is away changes nothing."""
    renewals = Renewals()
    leases = Leases(renewals, seconds=3000, longest=100, now=Clock())
    for renewals.down in (False, True):
        with pytest.raises(KeyError), leases.hold("a"):
            raise KeyError("a fault")
    leases.close()
    assert renewals.ended == [(["a"], 4000.0)]


def test_at_the_end_all_that_is_held_is_let_go() -> None:
    """It is overdue at once, and not renewed by mistake; where the ledger is away the leases run out by themselves."""
    renewals = Renewals()
    leases = Leases(renewals, seconds=3000, longest=100, now=Clock())
    with leases.hold("a"), leases.hold("b"):
        assert leases.let_go() == 2
        leases.renew()
    with leases.hold("c"):
        renewals.down = True
        assert leases.let_go() == 1
    leases.close()
    assert renewals.ended == [(["a", "b"], 1000.0)]
    assert renewals.made == [([], 4000.0)]


def test_leases_are_renewed_by_themselves() -> None:
    """A third of a lease after the beginning the first renewal comes, and somebody sees that the thread runs."""
    renewals, rounds = Renewals(), list[int]()
    leases = Leases(renewals, seconds=0.03, longest=100, now=Clock(), on_round=lambda: rounds.append(1))
    with leases.hold("a"):
        assert renewals.happened.wait(10)
    leases.close()
    assert renewals.made[0] == (["a"], 1000.03)
    assert rounds
