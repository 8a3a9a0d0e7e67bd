"""What becomes of a message: its events' outcomes written down where they last, before it is acknowledged."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol, cast

import structlog

from contract import (
    INGEST_QUEUE,
    QUARANTINE_QUEUE,
    DeadLetter,
    IngestResult,
    InvalidMessage,
    Reason,
    ServiceUnavailable,
    decode_ingest,
)
from producer import tracing
from producer.ledger import Batch, Begun, DeadLettersFull, Ledger
from worker import metrics
from worker.core.errors import Busy
from worker.core.outcomes import Dead, Indexed, Outcome, Removed, Retry, Unchanged
from worker.services.leases import Leases

log = structlog.get_logger(__name__)

# A batch whose worker died so often is taken apart; whatever else was in those workers' hands comes along.
_DEATHS_MAX: Final = 2
# Alone in quarantine, an event has so many tries to kill or to hang.
_DEATHS_MAX_QUARANTINED: Final = 3


class Publisher(Protocol):
    """Publishes a batch that the ledger holds."""

    def publish(self, batch: Batch, *, countdown: float = 0) -> None:
        """Publish it, to be worked on `countdown` seconds from now."""


class Batches:
    """Takes batches of events from delivery to settlement."""

    def __init__(
        self,
        ledger: Ledger,
        publisher: Publisher,
        ingest: Callable[[Sequence[object], int, float], list[Outcome]],
        *,
        wait_when_full: float,
        leases: Leases,
        now: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._leases = leases
        self._publisher = publisher
        self._ingest = ingest
        self._wait_when_full = wait_when_full
        self._now = now

    def __call__(self, batch_id: str, message: Mapping[str, Any]) -> IngestResult:
        """Work on one delivery of a message.

        Returns:
            How many events ended how.

        Raises:
            InvalidMessage: the message is not one of ours; what it carried is in the dead letters.
            Busy: another worker is at the same batch.
            ServiceUnavailable: the ledger cannot be reached; the message must be delivered again.
        """
        try:
            events = decode_ingest(message)
        except InvalidMessage as error:
            self._bury(batch_id, message, error)
            raise
        begun = self._ledger.begin(Batch(batch_id, events), self._now(), lease=self._leases.seconds)
        if begun.busy:
            raise Busy("another worker is at this batch")
        if begun.settled is not None:
            log.info("batch_already_settled", **begun.settled)
            return cast("IngestResult", begun.settled)
        if begun.queue == QUARANTINE_QUEUE and begun.deaths >= _DEATHS_MAX_QUARANTINED:
            return self._settle(batch_id, begun, [_killer(event, begun) for event in events], tried=False)
        if begun.queue == INGEST_QUEUE and begun.deaths >= _DEATHS_MAX:
            return self._quarantine(batch_id, begun, events)
        metrics.BATCH_EVENTS.observe(len(events))
        if begun.attempts == 1:
            metrics.QUEUE_WAIT.observe(max(0.0, self._now() - begun.first_seen))
        with self._leases.hold(batch_id):
            return self._settle(batch_id, begun, self._ingest(events, begun.attempts, begun.first_seen))

    def _bury(self, batch_id: str, message: Mapping[str, Any], error: InvalidMessage) -> None:
        events = message.get("events")
        lost = events if isinstance(events, list) and events else [dict(message)]
        begun = self._ledger.begin(Batch(batch_id, lost), self._now())
        if begun.settled is None:
            self._settle(batch_id, begun, [Dead(event, Reason.INVALID, str(error)) for event in lost])

    def _quarantine(self, batch_id: str, begun: Begun, events: Sequence[object]) -> IngestResult:
        """Take a batch apart that its workers did not survive, so that only the event that kills them suffers."""
        log.error("batch_quarantined", events=len(events), deaths=begun.deaths, fate=begun.fate)
        result = IngestResult(indexed=0, unchanged=0, dead=0, retried=len(events))
        singles = [_successor([event], begun.attempts - 1, 0, QUARANTINE_QUEUE) for event in events]
        if self._ledger.settle(batch_id, result, self._now(), successors=singles):
            self._publish(singles)
        return result

    def _settle(self, batch_id: str, begun: Begun, outcomes: Sequence[Outcome], *, tried: bool = True) -> IngestResult:
        """End a batch with its events' outcomes, which come from a try, or from what is known of earlier ones."""
        dead = [outcome for outcome in outcomes if isinstance(outcome, Dead)]
        again = [outcome for outcome in outcomes if isinstance(outcome, Retry)]
        successors = _successors(again, begun)
        result = _count(outcomes)
        letters = self._letters(dead, begun, attempts=begun.attempts if tried else begun.attempts - 1)
        try:
            ours = self._ledger.settle(batch_id, result, self._now(), dead=letters, successors=successors)
        except DeadLettersFull as error:
            log.error("dead_letters_full", error=str(error), events=len(dead))  # noqa: TRY400 - no traceback is wanted
            successors.append(
                _successor([one.event for one in dead], begun.attempts - 1, self._wait_when_full, begun.queue)
            )
            result |= {"dead": 0, "retried": result["retried"] + len(dead)}
            ours = self._ledger.settle(batch_id, result, self._now(), successors=successors)
        # Where another delivery of the same message was faster, its retries travel already.
        self._publish(successors if ours else self._open_overtaken(again, begun))
        metrics.count_events(result, [one.reason for one in dead] if result["dead"] else [])
        for letter in dead if result["dead"] else ():
            log.warning("event_dead", **_named(letter.event), reason=letter.reason, error=letter.error)
        for retry in again:
            log.info("event_retried", **retry.event.model_dump(), error=retry.error, delay=round(retry.delay, 1))
        log.info("batch_settled", attempt=begun.attempts, **result)
        return result

    def _letters(self, dead: Sequence[Dead], begun: Begun, *, attempts: int) -> list[DeadLetter]:
        trace = tracing.current()
        return [
            DeadLetter(
                event=one.event,
                reason=one.reason,
                error=one.error,
                attempts=attempts,
                first_seen=_iso(begun.first_seen),
                last_seen=_iso(self._now()),
                trace_id=trace.trace_id if trace else None,
            )
            for one in dead
        ]

    def _open_overtaken(self, again: Sequence[Retry], begun: Begun) -> list[Batch]:
        """Open batches, outside of a settlement, of the events whose rows may stand in place of later ones."""
        batches = _successors([retry for retry in again if retry.overtaken], begun)
        for batch in batches:
            self._ledger.carry_on(batch, self._now())
        return batches

    def _publish(self, successors: Sequence[Batch]) -> None:
        for batch in successors:
            try:
                self._publisher.publish(batch, countdown=batch.delay)
            except ServiceUnavailable as error:
                # The ledger holds it: nothing is lost, and it is published again from there.
                log.warning("successor_not_published", batch=batch.id, error=str(error))


def _count(outcomes: Sequence[Outcome]) -> IngestResult:
    def number(kind: type[Outcome]) -> int:
        return sum(isinstance(outcome, kind) for outcome in outcomes)

    return IngestResult(
        indexed=number(Indexed) + number(Removed),
        unchanged=number(Unchanged),
        dead=number(Dead),
        retried=number(Retry),
    )


def _killer(event: object, begun: Begun) -> Dead:
    """What is said of an event that was alone when its worker died, again and again."""
    if begun.fate is Reason.TIMEOUT:
        return Dead(event, Reason.TIMEOUT, f"a worker hung over it {begun.deaths} times")
    return Dead(event, Reason.CRASH, f"{begun.deaths} workers died over it")


def _successors(again: Sequence[Retry], begun: Begun) -> list[Batch]:
    """Put the events to try again into new batches: those whose try counted, and those that only ran out of time."""
    batches = []
    for counts in (True, False):
        group = [retry for retry in again if retry.counts is counts]
        if group:
            events = [retry.event.model_dump() for retry in group]
            delay = max(retry.delay for retry in group)
            attempts = begun.attempts if counts else begun.attempts - 1
            batches.append(_successor(events, attempts, delay, begun.queue, begun.deaths))
    return batches


def _successor(events: Sequence[Any], attempts: int, delay: float, queue: str, deaths: int = 0) -> Batch:
    return Batch(tracing.new_task_id(), events, attempts, delay, queue, deaths)


def _named(event: object) -> dict[str, Any]:
    """What a log line says of a dead event, which may be anything."""
    known = ("object_key", "meta_id", "company_id")
    return (
        {name: event.get(name) for name in known} if isinstance(event, dict) else {"event_type": type(event).__name__}
    )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
