"""A stream of events waits for a backlog to shrink. No test sleeps: pausing moves the clock on."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from contract import InvalidMessage, Overloaded, ServiceUnavailable
from producer import EnqueueResult, Interrupted
from producer.backpressure import Backpressure
from producer.enqueuing import enqueue_all
from producer.publisher import Accepted, Publisher

HIGH, LOW, LIMIT = 30, 10, 50


class Backlog:
    """Counts events as the ledger does; with each pause workers end some, and the clock moves on."""

    def __init__(self, outstanding: int = 0, *, ends: int = 0) -> None:
        self.outstanding = outstanding
        self.ends = ends
        self.now = 1000.0
        self.pauses: list[float] = []
        self.sent: list[int] = []
        self.refused = 0
        self.closed = False

    def accept(self, events: Sequence[Any]) -> Accepted:
        """Take a batch, or refuse it, as the publisher does."""
        if self.outstanding + len(events) > LIMIT:
            self.refused += 1
            raise Overloaded("too many")
        self.outstanding += len(events)
        self.sent.append(len(events))
        return Accepted("batch", self.outstanding)

    def pause(self, seconds: float) -> bool:
        """Let time pass."""
        self.pauses.append(seconds)
        self.now += seconds
        self.outstanding = max(0, self.outstanding - self.ends)
        return self.closed

    def enqueue(
        self,
        count: int,
        *,
        batch_size: int = 10,
        wait: float | None = None,
        waiting: Callable[[int], None] | None = None,
        ask: Callable[[], int] | None = None,
    ) -> EnqueueResult:
        """Enqueue so many events."""
        rules = Backpressure(
            ask or (lambda: self.outstanding),
            high=HIGH,
            low=LOW,
            limit=LIMIT,
            pause=self.pause,
            clock=lambda: self.now,
        )
        events = ({"object_key": "a.jpg", "meta_id": number, "company_id": 7} for number in range(count))
        publisher = cast("Publisher", self)
        return enqueue_all(publisher, events, wait=rules.bounded(wait, waiting), batch_size=batch_size, progress=None)


def test_below_the_high_watermark_nobody_waits() -> None:
    """Nor for the ledger to be asked."""

    def ask() -> int:
        raise AssertionError("asked")

    backlog = Backlog()
    assert backlog.enqueue(HIGH - 1, ask=ask).events == HIGH - 1
    assert backlog.pauses == []


def test_nobody_waits_after_the_last_batch() -> None:
    """The watermark is reached by it, but there is nothing more to send."""
    backlog = Backlog()
    assert backlog.enqueue(HIGH, wait=0.0).events == HIGH
    assert backlog.pauses == []


def test_from_the_high_watermark_it_waits_until_the_low_one() -> None:
    """Exactly until then, and is told at each look how many are outstanding."""
    backlog = Backlog(ends=5)
    seen: list[int] = []
    assert backlog.enqueue(HIGH + 10, waiting=seen.append) == EnqueueResult(40, 4)
    assert seen == [30, 25, 20, 15]
    assert backlog.outstanding == LOW + 10


def test_pauses_grow() -> None:
    """From 0.1 s to 2 s; the next wait begins with short ones again."""
    backlog = Backlog(ends=2)
    backlog.enqueue(HIGH + 21)
    one_wait = [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0, 2.0, 2.0]
    assert backlog.pauses == pytest.approx([*one_wait, *one_wait])


def test_a_refused_batch_is_sent_when_there_is_room() -> None:
    """Another producer has filled the ledger: no event is left out, none is sent twice."""
    backlog = Backlog(LIMIT - 5, ends=10)
    assert backlog.enqueue(20) == EnqueueResult(20, 2)
    assert backlog.refused == 1
    assert backlog.sent == [10, 10]


def test_a_batch_that_is_larger_than_the_room_waits_for_more_than_the_low_watermark() -> None:
    """It does not ask again and again at a watermark at which it does not fit."""
    backlog = Backlog(LOW, ends=1)
    assert backlog.enqueue(LIMIT - 2, batch_size=LIMIT - 2) == EnqueueResult(48, 1)
    assert backlog.refused == 1
    assert len(backlog.pauses) == LOW - 2


@pytest.mark.parametrize("wait", [0.0, 0.05, 7.0])
def test_a_wait_is_bounded(wait: float) -> None:
    """To the second; the error counts what is enqueued and says what it waited for."""
    backlog = Backlog()
    told = rf"^30 events are outstanding, after waiting {wait:g} s; 30 events are enqueued"
    with pytest.raises(Interrupted, match=told) as caught:
        backlog.enqueue(HIGH + 10, wait=wait)
    assert caught.value.accepted == HIGH
    assert isinstance(caught.value.__cause__, Overloaded)
    assert backlog.now == pytest.approx(1000.0 + wait)
    assert backlog.sent == [10, 10, 10]


def test_the_wait_for_a_refused_batch_is_bounded() -> None:
    """Nothing was accepted, and the error says so."""
    backlog = Backlog(LIMIT)
    with pytest.raises(Interrupted) as caught:
        backlog.enqueue(20, wait=3.0)
    assert (caught.value.accepted, backlog.sent) == (0, [])
    assert backlog.now == pytest.approx(1003.0)


def test_the_bound_is_of_one_wait_not_of_all() -> None:
    """Two waits of 3.1 s each are within a bound of 5 s."""
    backlog = Backlog(ends=4)
    assert backlog.enqueue(HIGH + 21, wait=5.0).events == HIGH + 21
    assert sum(backlog.pauses) == pytest.approx(6.2)


def test_a_client_that_is_closed_waits_no_more() -> None:
    """Whoever waits for ever would hold up the end of the process."""
    backlog = Backlog()
    backlog.closed = True
    with pytest.raises(Interrupted, match="the client was closed") as caught:
        backlog.enqueue(HIGH + 10)
    assert (caught.value.accepted, len(backlog.pauses)) == (HIGH, 1)


def test_a_ledger_that_fails_ends_the_wait() -> None:
    """With the same error as when it fails to take a batch."""

    def ask() -> int:
        raise ServiceUnavailable("the ledger: gone")

    with pytest.raises(Interrupted, match=r"^the ledger: gone; 30 events are enqueued") as caught:
        Backlog().enqueue(HIGH + 10, ask=ask)
    assert caught.value.accepted == HIGH


@pytest.mark.parametrize("wait", [-1.0, float("nan")])
def test_a_bound_that_is_none(wait: float) -> None:
    """It is refused before anything is sent."""
    backlog = Backlog()
    with pytest.raises(InvalidMessage, match="wait: "):
        backlog.enqueue(10, wait=wait)
    assert backlog.sent == []
