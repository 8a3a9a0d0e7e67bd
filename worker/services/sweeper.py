"""The sweeper: publishes batches again that were lost on the way, or whose worker died."""

from collections.abc import Callable
from typing import Final, Protocol

import structlog

from contract import INGEST_QUEUE, QUARANTINE_QUEUE
from producer.ledger import Batch, Ledger

log = structlog.get_logger(__name__)

_AT_ONCE: Final = 1000
# With so many messages in its queue a batch that nobody has begun on is waiting, not lost. In quarantine they come in
# hundreds, and are worked on one by one.
_BACKLOG: Final = {INGEST_QUEUE: 1000, QUARANTINE_QUEUE: 1}


class Republisher(Protocol):
    """Publishes batches, and knows how many messages wait."""

    def publish(self, batch: Batch, *, answer: bool = False) -> None:
        """Publish a batch; with `answer` its result is stored for whoever waits for it."""

    def waiting(self, queue: str) -> int:
        """How many messages wait in a queue."""


class Sweeper:
    """One sweep at a time is enough, and several do no harm: the ledger gives each overdue batch to one of them.

    A sweeper that dies between taking a batch and publishing it leaves it to be overdue again.
    """

    def __init__(self, ledger: Ledger, publisher: Republisher, *, now: Callable[[], float]) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._now = now

    def __call__(self) -> int:
        """Publish what is overdue, at most 1,000 batches of each kind.

        Returns:
            How many were published.

        Raises:
            ServiceUnavailable: the ledger or the broker cannot be reached. What was taken is overdue again later.
        """
        died = self._ledger.take_overdue(self._now(), limit=_AT_ONCE, queue=None)
        lost = [batch for queue in _BACKLOG for batch in self._lost(queue)]
        for batch in [*died, *lost]:
            self._publisher.publish(batch, answer=True)
        if died or lost:
            log.warning("batches_published_again", died=len(died), lost=len(lost))
        return len(died) + len(lost)

    def _lost(self, queue: str) -> list[Batch]:
        if self._publisher.waiting(queue) >= _BACKLOG[queue]:
            return []
        return self._ledger.take_overdue(self._now(), limit=_AT_ONCE, queue=queue)
