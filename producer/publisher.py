"""Publishing batches of upload events: the ledger first, then the broker."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any, Final

from celery import Celery

from contract import INGEST, INGEST_QUEUE, VERSION, ServiceUnavailable
from producer import tracing
from producer.errors import vendor_errors
from producer.ledger import Batch, Ledger
from producer.queues import queue_lengths

_SHOWN: Final = 2000  # characters
_CONFIRM_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Accepted:
    """The id of a batch, which is the id of the Celery task that carries it, and the outstanding events with it."""

    batch_id: str
    outstanding: int


class Publisher:
    """Puts batches of events on their queue. One serves all threads of a process.

    Args:
        app: whose broker is published to.
        ledger: where batches are written down.
        clock: seconds since 1970.
    """

    def __init__(self, app: Celery, ledger: Ledger, *, clock: Callable[[], float] = time.time) -> None:
        self._app = app
        self._ledger = ledger
        self._clock = clock

    def accept(self, events: Sequence[Any]) -> Accepted:
        """Accept events: once this returns they are never lost, whatever dies.

        Args:
            events: 1 to 100 JSON objects, each valid for the contract.

        Raises:
            Overloaded: too many events are outstanding.
            ServiceUnavailable: Redis or the broker did not take it. In both cases nothing is accepted.
        """
        with _span(INGEST_QUEUE, len(events)):
            batch = Batch(tracing.new_task_id(), events)
            try:
                outstanding = self._ledger.record(batch, self._clock())
                self._send(batch)
            except ServiceUnavailable:
                # If this fails too, the entry stands, and the sweeper publishes the batch one day: an upload that the
                # caller was told to send again is then indexed twice, which leaves one row.
                with suppress(ServiceUnavailable):
                    self._ledger.forget(batch.id)
                raise
            return Accepted(batch.id, outstanding)

    def waiting(self, queue: str) -> int:
        """How many messages wait in a queue.

        Raises:
            ServiceUnavailable: the broker cannot be reached.
        """
        return queue_lengths(self._app, [queue])[queue]

    def publish(self, batch: Batch, *, countdown: float = 0, answer: bool = False) -> None:
        """Publish a batch that the ledger holds already, in the trace that it belongs to.

        Args:
            batch: of 1 to 100 events.
            countdown: seconds that workers wait before they begin on it; must stay below the visibility timeout.
            answer: store the result, for somebody may be waiting for it.

        Raises:
            ServiceUnavailable: the broker did not take it. The ledger still holds it.
        """
        with tracing.within(tracing.of_task(batch.id)), _span(batch.queue, len(batch.events)):
            self._send(batch, countdown=countdown, answer=answer)

    def _send(self, batch: Batch, *, countdown: float = 0, answer: bool = False) -> None:
        with vendor_errors(f"publishing to the queue {batch.queue!r}"):
            self._app.send_task(
                INGEST,
                kwargs={"events": list(batch.events), "version": VERSION},
                kwargsrepr=_readable(batch.events),
                queue=batch.queue,
                task_id=batch.id,
                headers=tracing.headers_for(batch.id),
                countdown=countdown or None,
                ignore_result=not answer,
                # RabbitMQ confirms nothing while it is short of memory or disk. Others take no notice.
                confirm_timeout=_CONFIRM_SECONDS,
                # A batch that is handed back is a message in its own right, not a child whose result is asked for.
                add_to_parent=False,
            )


def _span(queue: str, events: int) -> AbstractContextManager[Any]:
    return tracing.span(
        "enqueue", "PRODUCER", {**tracing.messaging("send", queue), "messaging.batch.message_count": events}
    )


def _readable(events: Sequence[Any]) -> str:
    """Show a message in logs and in Flower. Celery's own way takes a sixth of a producer's time."""
    others = f", and {len(events) - 1} more" if len(events) > 1 else ""
    return f"{{'events': [{events[0]!r}{others}], 'version': {VERSION}}}"[:_SHOWN]
