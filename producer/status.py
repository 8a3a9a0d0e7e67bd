"""How it stands: what is outstanding, what is dead, how long the queues are, and who works."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from celery import Celery

from contract import ALL_QUEUES, STATS, LookalikeError
from producer.brokers import broker_connection
from producer.calls import Calls
from producer.fuses import BlownFuse, Fuses
from producer.ledger import Ledger
from producer.queues import queue_lengths

_PING_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Status:
    """One look at the whole.

    Attributes:
        outstanding: events that were accepted and have not ended.
        oldest_seconds: the age of the oldest of them; 0 where there is none.
        dead: dead letters.
        queues: messages that wait, by queue. A message of the ingest queue carries up to 100 events.
        collections: rows, by collection; empty when no search worker answers.
        workers: how many answered a ping.
        fuses: workers that have stopped themselves, and why.
    """

    outstanding: int
    oldest_seconds: float
    dead: int
    queues: dict[str, int]
    collections: dict[str, int]
    workers: int
    fuses: list[BlownFuse]

    def as_dict(self) -> dict[str, Any]:
        """The fields under their names, ready for JSON."""
        return asdict(self)


def read_status(
    app: Celery, ledger: Ledger, calls: Calls, *, timeout: float, clock: Callable[[], float] = time.time
) -> Status:
    """Take one look; takes a second for the ping, and up to `timeout` seconds more for the rows.

    Raises:
        ServiceUnavailable: the ledger or the broker cannot be reached.
    """
    summary = ledger.summary(clock())
    fuses = Fuses(ledger.connection).read(clock())
    workers = _workers(app)
    return Status(
        outstanding=summary.outstanding,
        oldest_seconds=round(summary.oldest_seconds, 3),
        dead=summary.dead,
        queues=queue_lengths(app, list(ALL_QUEUES)),
        collections=collections(calls, timeout) if workers else {},
        workers=workers,
        fuses=fuses,
    )


def _workers(app: Celery) -> int:
    with broker_connection(app, "asking for workers") as connection:
        return len(app.control.ping(timeout=_PING_SECONDS, connection=connection) or ())


def collections(calls: Calls, timeout: float) -> dict[str, int]:
    """Count the rows, by collection; none where no search worker answers within `timeout` seconds."""
    try:
        answer = calls(STATS, {}, timeout=timeout)
    except LookalikeError:
        return {}
    return dict(answer["collections"])
