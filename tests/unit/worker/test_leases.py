"""The sign of life that a process gives for the batches that it works on."""

import threading
from collections.abc import Iterable

import pytest

from contract import ServiceUnavailable
from worker.services.leases import Leases


class Renewals:
    """Remembers what was renewed, and until when; fails while it is told to."""

    def __init__(self) -> None:
        self.made: list[tuple[list[str], float]] = []
        self.down = False
        self.happened = threading.Event()

    def __call__(self, batch_ids: Iterable[str], until: float) -> None:
        """Renew."""
        if self.down:
            raise ServiceUnavailable("the ledger is away")
        self.made.append((list(batch_ids), until))
        self.happened.set()


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


def test_what_is_held_for_too_long_is_given_up() -> None:
    """A batch that hangs is left to another worker; its siblings are not."""
    renewals, clock = Renewals(), Clock()
    leases = Leases(renewals, seconds=3000, longest=100, now=clock)
    with leases.hold("hangs"):
        clock.now += 60
        with leases.hold("fresh"):
            clock.now += 60
            leases.renew()
            assert renewals.made[-1][0] == ["fresh"]
    leases.close()


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
    assert renewals.made == [(["a"], 1000.0)]


def test_leases_are_renewed_by_themselves() -> None:
    """A third of a lease after the beginning the first renewal comes, without being asked for."""
    renewals = Renewals()
    leases = Leases(renewals, seconds=0.03, longest=100, now=Clock())
    with leases.hold("a"):
        assert renewals.happened.wait(10)
    leases.close()
    assert renewals.made[0] == (["a"], 1000.03)
