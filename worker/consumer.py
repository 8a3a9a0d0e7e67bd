"""What Celery's worker does with its broker, less an error that would end it when the broker goes away."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.request import Request

from producer.errors import raised_in

log = structlog.get_logger(__name__)


class Consumer(CeleryConsumer):
    """Comes back after its broker was away, whatever it had in hand."""

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Let go of the connection that broke.

        To close it, kombu gives the messages in hand back to the queue, over the connection that is gone. They are
        delivered again all the same, when the visibility timeout or their batches' time in the ledger is over.
        """
        with _enduring("messages_not_given_back"):
            super().on_connection_error_after_connected(exc)


class Enduring(Request):
    """A request whose message may be of a connection that is gone.

    The message is delivered again all the same, when the visibility timeout is over.
    """

    def acknowledge(self) -> None:
        """Take the message off the queue for good."""
        with _enduring("message_not_acknowledged", task_id=self.id):
            super().acknowledge()

    def reject(self, requeue: bool = False) -> None:
        """Give the message back, or throw it away."""
        with _enduring("message_not_given_back", task_id=self.id):
            super().reject(requeue)


@contextmanager
def _enduring(event: str, **known: Any) -> Iterator[None]:
    """Log what could not be done over a connection that is gone, and go on.

    kombu 5.7 fails with an AttributeError there, which Celery takes for a bug: the worker would end.
    """
    try:
        yield
    except AttributeError as error:
        if not raised_in(error, "kombu"):
            raise
        log.warning(event, **known, error=str(error))
