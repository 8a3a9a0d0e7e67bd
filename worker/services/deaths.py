"""What is done about a worker that died, or hangs, with a batch in its hands."""

from collections.abc import Callable
from typing import Protocol

import structlog

from contract import Reason, ServiceUnavailable
from producer.ledger import Batch, Ledger

log = structlog.get_logger(__name__)


class Publisher(Protocol):
    """Publishes a batch that the ledger holds."""

    def publish(self, batch: Batch) -> None:
        """Publish it."""


class Deaths:
    """Notes a death as soon as somebody sees it, so that nobody waits for the lease to run out.

    If the ledger or the broker is away the lease runs out all the same, and the sweeper does the rest.
    """

    def __init__(self, ledger: Ledger, publisher: Publisher, *, now: Callable[[], float]) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._now = now

    def __call__(self, batch_id: str, fate: Reason) -> None:
        """Note how the worker of a batch ended, and publish the batch again. What has ended stays ended."""
        log.error("worker_died", batch=batch_id, fate=fate)
        try:
            batch = self._ledger.died(batch_id, fate, self._now())
            if batch is not None:
                self._publisher.publish(batch)
        except ServiceUnavailable as error:
            log.warning("death_not_noted", batch=batch_id, error=str(error))
