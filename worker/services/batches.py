"""What becomes of a message: its events' outcomes written down where they last, before it is acknowledged."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, cast

import structlog

from contract import DeadLetter, IngestResult, InvalidMessage, Reason, ServiceUnavailable, decode_ingest
from producer.ledger import Batch, Begun, DeadLettersFull, Ledger
from worker.core.errors import Busy
from worker.core.outcomes import Dead, Indexed, Outcome, Retry, Unchanged
from worker.services.leases import Leases

log = structlog.get_logger(__name__)


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
        attempts: int,
        wait_when_full: float,
        leases: Leases,
        now: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._leases = leases
        self._publisher = publisher
        self._ingest = ingest
        self._attempts = attempts
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
        if begun.attempts > self._attempts:
            # It never came to an outcome in all these tries: what began on it died.
            outcomes: list[Outcome] = [
                Dead(event, Reason.CRASH, f"{begun.attempts - 1} workers died or lost it") for event in events
            ]
            return self._settle(batch_id, begun, outcomes)
        with self._leases.hold(batch_id):
            return self._settle(batch_id, begun, self._ingest(events, begun.attempts, begun.first_seen))

    def _bury(self, batch_id: str, message: Mapping[str, Any], error: InvalidMessage) -> None:
        events = message.get("events")
        lost = events if isinstance(events, list) and events else [dict(message)]
        begun = self._ledger.begin(Batch(batch_id, lost), self._now())
        if begun.settled is None:
            self._settle(batch_id, begun, [Dead(event, Reason.INVALID, str(error)) for event in lost])

    def _settle(self, batch_id: str, begun: Begun, outcomes: Sequence[Outcome]) -> IngestResult:
        dead = [outcome for outcome in outcomes if isinstance(outcome, Dead)]
        again = [outcome for outcome in outcomes if isinstance(outcome, Retry)]
        try:
            result = self._close(batch_id, begun, outcomes, dead, _successors(again, begun.attempts))
        except DeadLettersFull as error:
            log.error("dead_letters_full", error=str(error), events=len(dead))  # noqa: TRY400 - no traceback is wanted
            kept = _successor([one.event for one in dead], begun.attempts - 1, self._wait_when_full)
            result = self._close(batch_id, begun, outcomes, [], [*_successors(again, begun.attempts), kept])
        for letter in dead if result["dead"] else ():
            log.warning("event_dead", **_named(letter.event), reason=letter.reason, error=letter.error)
        for retry in again:
            log.info("event_retried", **retry.event.model_dump(), error=retry.error, delay=round(retry.delay, 1))
        log.info("batch_settled", attempt=begun.attempts, **result)
        return result

    def _close(
        self,
        batch_id: str,
        begun: Begun,
        outcomes: Sequence[Outcome],
        dead: Sequence[Dead],
        successors: Sequence[Batch],
    ) -> IngestResult:
        indexed = sum(isinstance(outcome, Indexed) for outcome in outcomes)
        unchanged = sum(isinstance(outcome, Unchanged) for outcome in outcomes)
        result = IngestResult(
            indexed=indexed,
            unchanged=unchanged,
            dead=len(dead),
            retried=len(outcomes) - indexed - unchanged - len(dead),
        )
        letters = [
            DeadLetter(
                event=one.event,
                reason=one.reason,
                error=one.error,
                attempts=begun.attempts,
                first_seen=_iso(begun.first_seen),
                last_seen=_iso(self._now()),
            )
            for one in dead
        ]
        ours = self._ledger.settle(batch_id, result, self._now(), dead=letters, successors=successors)
        if not ours:
            # Another delivery of the same message was faster: its retries travel already.
            successors = self._open_overtaken(outcomes, begun.attempts)
        for batch in successors:
            try:
                self._publisher.publish(batch, countdown=batch.delay)
            except ServiceUnavailable as error:
                # The ledger holds it: nothing is lost, and it is published again from there.
                log.warning("successor_not_published", batch=batch.id, error=str(error))
        return result

    def _open_overtaken(self, outcomes: Sequence[Outcome], attempts: int) -> list[Batch]:
        """Open batches, outside of a settlement, of the events whose rows may stand in place of later ones."""
        overtaken = [outcome for outcome in outcomes if isinstance(outcome, Retry) and outcome.overtaken]
        batches = _successors(overtaken, attempts)
        for batch in batches:
            self._ledger.begin(batch, self._now(), lease=batch.delay)
        return batches


def _successors(again: Sequence[Retry], attempts: int) -> list[Batch]:
    """Put the events to try again into new batches: those whose try counted, and those that only ran out of time."""
    batches = []
    for counts in (True, False):
        group = [retry for retry in again if retry.counts is counts]
        if group:
            events = [retry.event.model_dump() for retry in group]
            delay = max(retry.delay for retry in group)
            batches.append(_successor(events, attempts if counts else attempts - 1, delay))
    return batches


def _successor(events: Sequence[Any], attempts: int, delay: float) -> Batch:
    return Batch(str(uuid.uuid4()), events, attempts, delay)


def _named(event: object) -> dict[str, Any]:
    """What a log line says of a dead event, which may be anything."""
    known = ("object_key", "meta_id", "company_id")
    return (
        {name: event.get(name) for name in known} if isinstance(event, dict) else {"event_type": type(event).__name__}
    )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
