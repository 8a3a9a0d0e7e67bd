"""Calling for the parts of a long job."""

import pytest

from contract import InvalidMessage, ServiceUnavailable
from producer.jobs import call_patiently


class Clock:
    """Time passes in pauses only."""

    def __init__(self) -> None:
        self.now = 0.0
        self.closed = False

    def pause(self, seconds: float) -> bool:
        """Sleep."""
        self.now += seconds
        return self.closed


class Service:
    """Fails a number of times."""

    def __init__(self, failures: int, error: type[Exception] = ServiceUnavailable) -> None:
        self.failures = failures
        self.calls = 0
        self._error = error

    def __call__(self) -> int:
        """Answer with the number of calls."""
        self.calls += 1
        if self.calls <= self.failures:
            raise self._error("away")
        return self.calls


def test_a_service_that_comes_back_is_asked_again() -> None:
    """With growing pauses."""
    clock, service = Clock(), Service(4)
    assert call_patiently(service, patience=60, pause=clock.pause, clock=lambda: clock.now) == 5
    assert clock.now == 0.5 + 1 + 2 + 4


def test_patience_ends() -> None:
    """The last error is raised within it."""
    clock, service = Clock(), Service(10**6)
    with pytest.raises(ServiceUnavailable):
        call_patiently(service, patience=60, pause=clock.pause, clock=lambda: clock.now)
    assert 50 < clock.now <= 60


def test_a_client_that_is_closed_asks_no_more() -> None:
    """Nobody waits for a pause to end."""
    clock, service = Clock(), Service(10**6)
    clock.closed = True
    with pytest.raises(ServiceUnavailable):
        call_patiently(service, patience=60, pause=clock.pause, clock=lambda: clock.now)
    assert service.calls == 1


def test_a_call_that_is_wrong_is_not_made_again() -> None:
    """It would be wrong every time."""
    clock, service = Clock(), Service(10**6, InvalidMessage)
    with pytest.raises(InvalidMessage):
        call_patiently(service, patience=60, pause=clock.pause, clock=lambda: clock.now)
    assert service.calls == 1
