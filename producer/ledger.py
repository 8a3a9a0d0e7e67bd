"""The ledger: which batches of events were accepted and have not ended, and the dead letters of those that could not.

It lives in a Redis (or Valkey) that never evicts. Every change is one script, so that an event is at every moment in
an open batch, or settled as a row or a dead letter: never nowhere.

A batch is known by the id of the Celery task that carries it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any, Final, Self, cast

import redis

from contract import DeadLetter, LookalikeError, Reason, ServiceUnavailable
from producer import ledger_scripts as scripts

# One hash tag, so that all keys share a slot of a Redis Cluster and a script may touch them together.
_PREFIX: Final = "{lookalike}:"
_BATCH: Final = _PREFIX + "batch:"
_SETTLED: Final = _PREFIX + "settled:"
_OPEN: Final = _PREFIX + "open"
_OUTSTANDING: Final = _PREFIX + "outstanding"
_DEAD: Final = _PREFIX + "dead"

# A message may be delivered again after the visibility timeout (300 s); its settled batch is remembered for longer.
_REMEMBER_SECONDS: Final = 3600
_DEAD_LETTERS_MAX: Final = 1_000_000
_PAGE: Final = 500
_FULL: Final = -1  # what SETTLE says of the stream of dead letters


class DeadLettersFull(LookalikeError):
    """The stream of dead letters is at its cap. Nothing was recorded, and the batch is still open."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that travel together.

    Attributes:
        id: of the Celery task that carries them.
        events: JSON values, as they were sent.
        attempts: how many tries already count against them.
    """

    id: str
    events: Sequence[Any]
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Begun:
    """What the ledger knows of a batch that a worker begins on.

    Attributes:
        attempts: how many times a worker has begun on it, this one included.
        first_seen: when its events were enqueued, in seconds since 1970.
        settled: the result of an earlier delivery that ended; None while the batch is open.
    """

    attempts: int
    first_seen: float
    settled: dict[str, int] | None


@dataclass(frozen=True, slots=True)
class Summary:
    """Events in open batches, the age in seconds of the oldest (0 where there is none), and dead letters."""

    outstanding: int
    oldest_seconds: float
    dead: int


class Ledger:
    """The ledger at one address.

    All methods raise `ServiceUnavailable` when Redis cannot be reached or refuses (read-only, out of memory).
    """

    def __init__(self, connection: redis.Redis, *, dead_letters_max: int = _DEAD_LETTERS_MAX) -> None:
        self.connection: Final = connection
        self._dead_letters_max = dead_letters_max
        self._record = connection.register_script(scripts.RECORD)
        self._begin = connection.register_script(scripts.BEGIN)
        self._settle = connection.register_script(scripts.SETTLE)
        self._forget = connection.register_script(scripts.FORGET)

    @classmethod
    def from_url(cls, url: str, *, dead_letters_max: int = _DEAD_LETTERS_MAX) -> Self:
        """Open the ledger at an address; nothing connects yet."""
        connection = redis.Redis.from_url(url, decode_responses=True, socket_timeout=10, socket_connect_timeout=5)
        return cls(connection, dead_letters_max=dead_letters_max)

    def close(self) -> None:
        """Close the connections."""
        self.connection.close()

    def record(self, batch: Batch, now: float) -> None:
        """Write a batch down as accepted, before it is published. Again for the same batch changes nothing."""
        with _redis_errors():
            self._record(keys=self._keys(batch.id), args=[*_encode(batch), now])

    def forget(self, batch_id: str) -> None:
        """Strike out a batch that was recorded but could not be published."""
        with _redis_errors():
            self._forget(keys=self._keys(batch_id), args=[batch_id])

    def begin(self, batch: Batch, now: float) -> Begun:
        """Count an attempt at a batch, at the start of the work, so that a killed process counts too.

        A batch that was published without a ledger entry (plain `send_task`) is recorded now.
        """
        with _redis_errors():
            attempts, first_seen, settled = self._begin(keys=self._keys(batch.id), args=[*_encode(batch), now])
        return Begun(int(attempts), float(first_seen), json.loads(settled) if settled else None)

    def settle(
        self,
        batch_id: str,
        result: Mapping[str, Any],
        *,
        dead: Sequence[DeadLetter] = (),
        successors: Sequence[Batch] = (),
    ) -> bool:
        """End a batch: record its dead letters and the batches that carry on its retries, and close it. All or nothing.

        Args:
            batch_id: the batch.
            result: remembered for an hour, for a second delivery of the same message.
            dead: the events given up.
            successors: batches of the events to try again; they inherit the first sight.

        Returns:
            Whether this call closed it. If it was closed before, nothing happens.

        Raises:
            DeadLettersFull: the stream has no room for `dead`; nothing was changed.
        """
        letters = [json.dumps(asdict(letter)) for letter in dead]
        carry_on = chain.from_iterable(map(_encode, successors))
        keys = [*self._keys(batch_id), _DEAD, *(_BATCH + successor.id for successor in successors)]
        with _redis_errors():
            done = self._settle(
                keys=keys,
                args=[
                    batch_id,
                    json.dumps(result),
                    _REMEMBER_SECONDS,
                    self._dead_letters_max,
                    len(letters),
                    *letters,
                    *carry_on,
                ],
            )
        if done == _FULL:
            raise DeadLettersFull(f"the dead letters are at their cap of {self._dead_letters_max:,}")
        return bool(done)

    def summary(self, now: float) -> Summary:
        """Count what is open and what is dead."""
        with _redis_errors():
            pipeline = self.connection.pipeline(transaction=False)
            pipeline.get(_OUTSTANDING)
            pipeline.zrange(_OPEN, 0, 0, withscores=True)
            pipeline.xlen(_DEAD)
            outstanding, oldest, dead = pipeline.execute()
        return Summary(int(outstanding or 0), max(0.0, now - oldest[0][1]) if oldest else 0.0, dead)

    def dead_letters(self) -> Iterator[DeadLetter]:
        """Read the dead letters, oldest first, a page at a time."""
        start = "-"
        while True:
            with _redis_errors():
                page = cast("list[tuple[str, dict[str, str]]]", self.connection.xrange(_DEAD, min=start, count=_PAGE))
            for _, fields in page:
                letter = json.loads(fields["letter"])
                yield DeadLetter(**letter | {"reason": Reason(letter["reason"])})
            if len(page) < _PAGE:
                return
            start = "(" + page[-1][0]

    @staticmethod
    def _keys(batch_id: str) -> list[str]:
        return [_BATCH + batch_id, _SETTLED + batch_id, _OPEN, _OUTSTANDING]


def _encode(batch: Batch) -> tuple[str | int, ...]:
    return batch.id, json.dumps(batch.events), len(batch.events), batch.attempts


@contextmanager
def _redis_errors() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise ServiceUnavailable(f"the ledger: {type(error).__name__}: {error}") from error
