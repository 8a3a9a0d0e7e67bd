"""Celery's consumer, less an error that would end the worker when its broker goes away."""

import structlog
from celery.worker.consumer import Consumer as CeleryConsumer

log = structlog.get_logger(__name__)


class Consumer(CeleryConsumer):
    """Comes back after its broker was away, whatever it had in hand."""

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Let go of the connection that broke.

        To close it, kombu 5.7 gives the messages in hand back to the queue, over the connection that is gone, and fails
        with an AttributeError that Celery takes for a bug: the worker would end. The messages are delivered again all
        the same, when the visibility timeout or their batches' time in the ledger is over.
        """
        try:
            super().on_connection_error_after_connected(exc)
        except AttributeError as error:
            log.warning("messages_not_given_back", error=str(error))
