"""A delivery ends in the ledger as rows, retries and dead letters, and a second delivery changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from contract import QUARANTINE_QUEUE, InvalidMessage, Reason, UploadEvent
from producer import tracing
from producer.ledger import Batch, Begun, Ledger
from tests.contract.worker.outbox import Outbox
from worker.core.errors import Busy
from worker.core.outcomes import Dead, Indexed, Outcome, Retry, Unchanged
from worker.services.batches import Batches
from worker.services.leases import Leases

NOW = 1_800_000_000.0


def event(n: int) -> UploadEvent:
    """An event."""
    return UploadEvent(object_key=f"{n}.jpg", meta_id=n, company_id=1)


def message(*numbers: int) -> dict[str, Any]:
    """A message of events, as it travels."""
    return {"events": [event(n).model_dump() for n in numbers], "version": 1}


@dataclass
class Script:
    """An ingest that answers what a test says, and remembers what it was asked."""

    outcomes: Sequence[Outcome] = ()
    asked: list[tuple[Sequence[object], int, float]] = field(default_factory=list)

    def __call__(self, events: Sequence[object], attempt: int, since: float) -> list[Outcome]:
        """Answer."""
        self.asked.append((events, attempt, since))
        return list(self.outcomes)


def idle_leases(ledger: Ledger) -> Leases:
    """Leases that are never due to be renewed within a test."""
    return Leases(ledger, seconds=3000, longest=10_000, now=lambda: NOW)


@pytest.fixture
def outbox() -> Outbox:
    """What is published."""
    return Outbox()


@pytest.fixture
def script() -> Script:
    """What ingest says."""
    return Script()


@pytest.fixture
def batches(ledger: Ledger, outbox: Outbox, script: Script) -> Batches:
    """The service on a real ledger."""
    return Batches(ledger, outbox, script, wait_when_full=60, leases=idle_leases(ledger), now=lambda: NOW)


def test_counts_add_up_and_the_batch_is_closed(ledger: Ledger, batches: Batches, script: Script) -> None:
    """Each outcome is counted once, and nothing is outstanding but the retry."""
    script.outcomes = [
        Indexed(event(1)),
        Unchanged(event(2)),
        Dead({"x": 1}, Reason.INVALID, "no"),
        Retry(event(4), "reset", 7),
    ]
    assert batches("b", message(1, 2, 3, 4)) == {"indexed": 1, "unchanged": 1, "dead": 1, "retried": 1}
    summary = ledger.summary(NOW)
    assert (summary.outstanding, summary.dead) == (1, 1)


def test_a_dead_letter_says_everything(ledger: Ledger, batches: Batches, script: Script) -> None:
    """Event, reason, error, attempts, the times of its acceptance and its end, and the trace."""
    ledger.record(Batch("b", message(1)["events"]), NOW - 100)
    ledger.begin(Batch("b", message(1)["events"]), NOW - 50)  # a worker that was killed
    script.outcomes = [Dead(event(1).model_dump(), Reason.TOO_LARGE, "99 bytes")]
    with tracing.within(tracing.Trace("ab" * 16, "cd" * 8)):
        batches("b", message(1))
    assert [letter.as_dict() for letter in ledger.dead_letters()] == [
        {
            "event": {"object_key": "1.jpg", "meta_id": 1, "company_id": 1},
            "reason": "too_large",
            "error": "99 bytes",
            "attempts": 2,
            "first_seen": "2027-01-15T07:58:20.000+00:00",
            "last_seen": "2027-01-15T08:00:00.000+00:00",
            "trace_id": "ab" * 16,
        }
    ]


def test_a_retry_is_a_batch_of_its_own(ledger: Ledger, batches: Batches, script: Script, outbox: Outbox) -> None:
    """It carries only what failed, waits as long as the longest of them, and remembers attempts and first sight."""
    ledger.record(Batch("b", message(1, 2, 3)["events"]), NOW - 100)
    script.outcomes = [Retry(event(1), "reset", 3), Indexed(event(2)), Retry(event(3), "reset", 5)]
    batches("b", message(1, 2, 3))
    ((batch, countdown),) = outbox.sent
    assert (batch.events, countdown) == ([event(1).model_dump(), event(3).model_dump()], 5)
    begun = ledger.begin(batch, NOW + 5)
    assert (begun.attempts, begun.first_seen) == (2, NOW - 100)


def test_what_ran_out_of_time_has_used_no_try(ledger: Ledger, batches: Batches, script: Script, outbox: Outbox) -> None:
    """It travels apart from what failed, at once, and its next try is again the first."""
    script.outcomes = [Retry(event(1), "reset", 3), Retry(event(2), "out of time", 0, counts=False)]
    assert batches("b", message(1, 2))["retried"] == 2
    attempts = {len(batch.events): ledger.begin(batch, NOW).attempts for batch, _ in outbox.sent[:1]}
    assert attempts == {1: 2}
    (back, countdown) = outbox.sent[1]
    assert (back.events, countdown) == ([event(2).model_dump()], 0)
    assert ledger.begin(back, NOW).attempts == 1


def test_a_second_delivery_changes_nothing(ledger: Ledger, batches: Batches, script: Script, outbox: Outbox) -> None:
    """A worker that died between settling and acknowledging leaves a message that answers as before."""
    script.outcomes = [Dead(event(1).model_dump(), Reason.NOT_AN_IMAGE, "text"), Retry(event(2), "reset", 1)]
    first = batches("b", message(1, 2))
    assert batches("b", message(1, 2)) == first
    assert len(script.asked) == 1
    assert len(outbox.sent) == 1
    assert ledger.summary(NOW).dead == 1


def test_of_two_deliveries_at_once_only_the_first_to_end_counts(ledger: Ledger, outbox: Outbox, script: Script) -> None:
    """A worker whose lease had run out leaves no second retry and no second dead letter."""
    script.outcomes = [Dead(event(1).model_dump(), Reason.NOT_AN_IMAGE, "text"), Retry(event(2), "reset", 1)]
    later = Batches(ledger, outbox, script, wait_when_full=60, leases=idle_leases(ledger), now=lambda: NOW + 10_000)

    def overtaken(events: Sequence[object], attempt: int, since: float) -> list[Outcome]:
        later("b", message(1, 2))
        return script(events, attempt, since)

    Batches(ledger, outbox, overtaken, wait_when_full=60, leases=idle_leases(ledger), now=lambda: NOW)(
        "b", message(1, 2)
    )
    assert len(outbox.sent) == 1
    summary = ledger.summary(NOW)
    assert (summary.outstanding, summary.dead) == (1, 1)


def test_what_was_overtaken_is_tried_again_though_another_delivery_settled_the_batch(
    ledger: Ledger, outbox: Outbox, script: Script
) -> None:
    """Its row may stand in place of a later one: it is outstanding until somebody has looked again."""
    overtaken = Retry(event(1), "overtaken", 2, counts=False, overtaken=True)
    script.outcomes = [Indexed(event(1))]
    later = Batches(ledger, outbox, script, wait_when_full=60, leases=idle_leases(ledger), now=lambda: NOW + 10_000)

    def slow(events: Sequence[object], attempt: int, since: float) -> list[Outcome]:  # noqa: ARG001
        later("b", message(1, 2))
        return [overtaken, Retry(event(2), "reset", 1)]

    Batches(ledger, outbox, slow, wait_when_full=60, leases=idle_leases(ledger), now=lambda: NOW)("b", message(1, 2))
    ((batch, countdown),) = outbox.sent
    assert (batch.events, countdown) == ([event(1).model_dump()], 2)
    assert ledger.summary(NOW).outstanding == 1
    assert ledger.begin(batch, NOW + countdown).deaths == 0


def test_ingest_is_told_of_the_try_and_of_the_first_sight(ledger: Ledger, batches: Batches, script: Script) -> None:
    """Both are the ledger's, which a retry and a second delivery share."""
    ledger.record(Batch("b", message(1)["events"]), NOW - 100)
    ledger.begin(Batch("b", message(1)["events"]), NOW - 50)  # a worker that was killed
    script.outcomes = [Indexed(event(1))]
    batches("b", message(1))
    assert script.asked == [(message(1)["events"], 2, NOW - 100)]


def test_a_second_delivery_meanwhile_is_dropped(ledger: Ledger, batches: Batches, outbox: Outbox) -> None:
    """While one worker is at a batch, another that gets the same message leaves it alone, and no try is counted."""
    ledger.begin(Batch("b", message(1)["events"]), NOW - 1, lease=60)
    with pytest.raises(Busy):
        batches("b", message(1))
    assert ledger.begin(Batch("b", message(1)["events"]), NOW + 60).attempts == 2
    assert outbox.sent == []


@pytest.mark.parametrize(
    ("sent", "lost"),
    [
        ({"events": []}, [{"events": []}]),
        ({"events": [event(1).model_dump()], "version": 2}, [event(1).model_dump()]),
        ({"events": [event(1).model_dump()], "colour": "red"}, [event(1).model_dump()]),
        ({"events": [{"n": n} for n in range(101)]}, [{"n": n} for n in range(101)]),
        ({}, [{}]),
        ({"events": "all"}, [{"events": "all"}]),
    ],
    ids=["no events", "another version", "an unknown field", "101 events", "nothing", "no list"],
)
def test_a_message_that_is_none_is_refused_and_kept(
    ledger: Ledger, batches: Batches, script: Script, sent: dict[str, Any], lost: list[Any]
) -> None:
    """The caller gets InvalidMessage, and what the message carried is in the dead letters, once."""
    for _ in range(2):
        with pytest.raises(InvalidMessage):
            batches("b", sent)
    letters = list(ledger.dead_letters())
    assert [letter.event for letter in letters] == lost
    assert {letter.reason for letter in letters} == {Reason.INVALID}
    assert script.asked == []
    assert ledger.summary(NOW).outstanding == 0


def test_a_batch_that_killed_two_workers_is_taken_apart(
    ledger: Ledger, batches: Batches, script: Script, outbox: Outbox
) -> None:
    """Its events travel on one by one in quarantine, with their attempts, and are not tried here again."""
    batch = Batch("b", message(1, 2)["events"])
    ledger.record(batch, NOW - 100)
    for _ in range(2):
        ledger.begin(batch, NOW - 50)
    assert batches("b", message(1, 2)) == {"indexed": 0, "unchanged": 0, "dead": 0, "retried": 2}
    assert script.asked == []
    singles = [single for single, countdown in outbox.sent if countdown == 0]
    assert [single.events for single in singles] == [[event(1).model_dump()], [event(2).model_dump()]]
    assert {single.queue for single in singles} == {QUARANTINE_QUEUE}
    begun = ledger.begin(singles[0], NOW)
    assert begun == Begun(3, NOW - 100, None, queue=QUARANTINE_QUEUE)


def test_a_batch_that_killed_one_worker_is_tried_again(ledger: Ledger, batches: Batches, script: Script) -> None:
    """The worker may have been killed for another reason."""
    ledger.begin(Batch("b", message(1)["events"]), NOW)
    script.outcomes = [Indexed(event(1))]
    assert batches("b", message(1))["indexed"] == 1


def test_a_worker_that_hung_has_died(ledger: Ledger, batches: Batches, outbox: Outbox) -> None:
    """It is known before its lease runs out."""
    batch = Batch("b", message(1)["events"])
    for _ in range(2):
        ledger.begin(batch, NOW, lease=60)
        assert ledger.died("b", Reason.TIMEOUT, NOW) == batch
    assert batches("b", message(1))["retried"] == 1
    assert [single.queue for single, _ in outbox.sent] == [QUARANTINE_QUEUE]


@pytest.mark.parametrize("fate", [Reason.CRASH, Reason.TIMEOUT])
def test_an_event_that_kills_alone_is_a_dead_letter(
    ledger: Ledger, batches: Batches, script: Script, fate: Reason
) -> None:
    """After three tries in quarantine, with the reason of the last; up to then it is tried."""
    single = Batch("s", message(1)["events"], attempts=2, queue=QUARANTINE_QUEUE)
    ledger.record(single, NOW)
    for _ in range(3):
        assert ledger.begin(single, NOW, lease=60).deaths < 3
        ledger.died("s", fate, NOW)
    assert batches("s", message(1))["dead"] == 1
    assert script.asked == []
    (letter,) = ledger.dead_letters()
    assert (letter.event, letter.reason) == (event(1).model_dump(), fate)


def test_a_dead_letter_counts_only_the_tries(ledger: Ledger, batches: Batches, outbox: Outbox) -> None:
    """Two workers died over the batch and three over its event alone; who only sees that has tried nothing."""
    batch = Batch("b", message(1)["events"])
    ledger.record(batch, NOW)
    for _ in range(2):
        ledger.begin(batch, NOW)
    batches("b", message(1))
    ((single, _),) = outbox.sent
    for _ in range(3):
        ledger.begin(single, NOW)
    assert batches(single.id, message(1))["dead"] == 1
    (letter,) = ledger.dead_letters()
    assert (letter.reason, letter.attempts) == (Reason.CRASH, 5)


def test_a_retry_remembers_deaths(ledger: Ledger, batches: Batches, script: Script, outbox: Outbox) -> None:
    """A batch that hangs its workers must not begin anew because one of them handed it back in order."""
    ledger.begin(Batch("b", message(1)["events"]), NOW)
    script.outcomes = [Retry(event(1), "the worker is stopping", 0, counts=False)]
    batches("b", message(1))
    ((retry, _),) = outbox.sent
    ledger.begin(retry, NOW, lease=60)
    ledger.died(retry.id, Reason.TIMEOUT, NOW)
    assert ledger.begin(retry, NOW).deaths == 2


def test_a_retry_in_quarantine_stays_there(ledger: Ledger, batches: Batches, script: Script, outbox: Outbox) -> None:
    """An event that once killed its worker does not come back among others because OSS was away."""
    ledger.record(Batch("s", message(1)["events"], queue=QUARANTINE_QUEUE), NOW)
    script.outcomes = [Retry(event(1), "reset", 3)]
    batches("s", message(1))
    ((retry, _),) = outbox.sent
    assert retry.queue == QUARANTINE_QUEUE


def test_full_dead_letters_lose_nothing(ledger: Ledger, outbox: Outbox, script: Script) -> None:
    """What cannot be recorded as dead stays in the ledger, and is tried again later without using a try."""
    small = Ledger(ledger.connection, dead_letters_max=1)
    batches = Batches(small, outbox, script, wait_when_full=60, leases=idle_leases(ledger), now=lambda: NOW)
    script.outcomes = [Dead(event(n).model_dump(), Reason.NOT_AN_IMAGE, "text") for n in (1, 2)]
    assert batches("b", message(1, 2)) == {"indexed": 0, "unchanged": 0, "dead": 0, "retried": 2}
    ((kept, countdown),) = outbox.sent
    assert countdown == 60
    assert small.summary(NOW).outstanding == 2
    assert small.begin(kept, NOW).attempts == 1


def test_a_retry_that_cannot_be_published_stays_in_the_ledger(
    ledger: Ledger, batches: Batches, script: Script, outbox: Outbox
) -> None:
    """The batch is settled all the same, and its retry is outstanding."""
    outbox.down = True
    script.outcomes = [Retry(event(1), "reset", 1)]
    assert batches("b", message(1))["retried"] == 1
    assert ledger.summary(NOW).outstanding == 1
