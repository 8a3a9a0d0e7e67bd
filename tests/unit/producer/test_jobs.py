"""Calling for the parts of a long job."""

import pytest

from contract import InvalidMessage, ServiceMisconfigured, ServiceUnavailable
from producer.jobs import Pace, call_patiently


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


def test_a_misconfigured_service_is_not_asked_again() -> None:
    """It waits for somebody to mend it."""
    clock, service = Clock(), Service(10**6, ServiceMisconfigured)
    with pytest.raises(ServiceMisconfigured):
        call_patiently(service, patience=60, pause=clock.pause, clock=lambda: clock.now)
    assert (service.calls, clock.now) == (1, 0.0)


@pytest.mark.parametrize(("rate", "most"), [(0.1, 1), (3.0, 6), (1000.0, 2000), (1e9, 5000), (None, 5000)])
def test_a_part_has_as_many_events_as_two_seconds_admit(rate: float | None, most: int) -> None:
    """And one at least, and no more than there is room for."""
    assert Pace(rate, Clock().pause).begin(5000) == most


def test_a_pace_is_kept() -> None:
    """Whatever the parts take; what was enqueued by an earlier run does not count."""
    clock = Clock()
    pace = Pace(10.0, clock.pause, lambda: clock.now)
    enqueued = 1000
    for part in range(1, 6):
        enqueued += pace.begin(5000)
        clock.now += 0.5
        pace.end(enqueued)
        assert clock.now == pytest.approx(2.0 * part)
    pace.begin(5000)
    clock.now += 5
    pace.end(enqueued)
    assert clock.now == pytest.approx(15.0), "it was slow enough"
