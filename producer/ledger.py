"""The ledger: which batches of events were accepted and have not ended, and the dead letters of those that could not.

It lives in a Redis (or Valkey) that never evicts. Every change is one script, so that an event is at every moment in
an open batch, or settled as a row or a dead letter: never nowhere.

A batch is known by the id of the Celery task that carries it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any, Final, Self

import redis

from contract import INGEST_QUEUE, DeadLetter, LookalikeError, Overloaded, Reason
from producer import ledger_scripts as scripts
from producer.dead_stream import DeadStream
from producer.errors import vendor_errors
from producer.redis_connections import connect
from producer.selection import Selection

# One hash tag, so that all keys share a slot of a Redis Cluster and a script may touch them together.
_PREFIX: Final = "{lookalike}:"
_BATCH: Final = _PREFIX + "batch:"
_SETTLED: Final = _PREFIX + "settled:"
_OPEN: Final = _PREFIX + "open"
_WAITING: Final = _PREFIX + "waiting"
_BEGUN: Final = _PREFIX + "begun"
_OUTSTANDING: Final = _PREFIX + "outstanding"
_DEAD: Final = _PREFIX + "dead"

# A message may be delivered again after the visibility timeout (300 s); its settled batch is remembered for longer.
_REMEMBER_SECONDS: Final = 3600
_DEAD_LETTERS_MAX: Final = 1_000_000
# See `ClientSettings.overdue_seconds`.
_OVERDUE_SECONDS: Final = 120.0
_OUTSTANDING_MAX: Final = 1_000_000
_WHAT: Final = "the ledger"
_NO_LIMIT: Final = 1 << 53  # Redis' Lua counts exactly up to there
_FULL: Final = -1  # what SETTLE says of the stream of dead letters, and RECORD of the ledger


class DeadLettersFull(LookalikeError):
    """The stream of dead letters is at its cap. Nothing was recorded, and the batch is still open."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that travel together.

    Attributes:
        id: of the Celery task that carries them.
        events: JSON values, as they were sent.
        attempts: how many tries already count against them.
        delay: seconds before a worker may begin on it.
        queue: that it travels on.
        deaths: how many workers died with its events in their hands.
    """

    id: str
    events: Sequence[Any]
    attempts: int = 0
    delay: float = 0.0
    queue: str = INGEST_QUEUE
    deaths: int = 0


@dataclass(frozen=True, slots=True)
class Begun:
    """What the ledger knows of a batch that a worker begins on.

    Attributes:
        attempts: how many times a worker has begun on it, this one included.
        first_seen: when its events were enqueued, in seconds since 1970.
        settled: the result of an earlier delivery that ended; None while the batch is open.
        busy: another worker is at it; then no attempt was counted.
        queue: that it travels on.
        deaths: how many workers died with it in their hands, or hung.
        fate: how the last of them ended, `crash` or `timeout`; None where none did.
    """

    attempts: int
    first_seen: float
    settled: dict[str, int] | None
    busy: bool = False
    queue: str = INGEST_QUEUE
    deaths: int = 0
    fate: Reason | None = None


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

    def __init__(
        self,
        connection: redis.Redis,
        *,
        dead_letters_max: int = _DEAD_LETTERS_MAX,
        overdue_seconds: float = _OVERDUE_SECONDS,
        outstanding_max: int = _OUTSTANDING_MAX,
    ) -> None:
        self.connection: Final = connection
        self.dead: Final = DeadStream(connection, _DEAD)
        self._dead_letters_max = dead_letters_max
        self._overdue_seconds = overdue_seconds
        self._outstanding_max = outstanding_max
        self._record = connection.register_script(scripts.RECORD)
        self._begin = connection.register_script(scripts.BEGIN)
        self._settle = connection.register_script(scripts.SETTLE)
        self._forget = connection.register_script(scripts.FORGET)
        self._renew = connection.register_script(scripts.RENEW)
        self._let_go = connection.register_script(scripts.LET_GO)
        self._died = connection.register_script(scripts.DIED)
        self._reopen = connection.register_script(scripts.REOPEN)
        self._take_overdue = connection.register_script(scripts.TAKE_OVERDUE)

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        sentinel_master: str = "mymaster",
        dead_letters_max: int = _DEAD_LETTERS_MAX,
        overdue_seconds: float = _OVERDUE_SECONDS,
        outstanding_max: int = _OUTSTANDING_MAX,
    ) -> Self:
        """Open the ledger at an address; nothing connects yet.

        Args:
            url: of Redis or Valkey, see `redis_connections.connect`.
            sentinel_master: where the address is of Redis Sentinel, the name of the servers there.
            dead_letters_max: cap of the stream of dead letters.
            overdue_seconds: a batch that no worker has begun on for so long is overdue.
            outstanding_max: `record` brings the outstanding events to so many and no further. What a worker begins on
                or carries on is not limited.
        """
        return cls(
            connect(url, master=sentinel_master),
            dead_letters_max=dead_letters_max,
            overdue_seconds=overdue_seconds,
            outstanding_max=outstanding_max,
        )

    def close(self) -> None:
        """Close the connections."""
        self.connection.close()

    def record(self, batch: Batch, now: float) -> int:
        """Write a batch down as accepted, before it is published. Again for the same batch changes nothing.

        Returns:
            How many events are outstanding now.

        Raises:
            Overloaded: with this batch there would be too many; nothing was changed.
        """
        outstanding = self._open(batch, now, self._outstanding_max)
        if outstanding == _FULL:
            raise Overloaded(
                f"with {len(batch.events)} more, the outstanding events would be over their limit of "
                f"{self._outstanding_max:,}"
            )
        return outstanding

    def carry_on(self, batch: Batch, now: float) -> None:
        """Write down a batch of events that were accepted before, however many are outstanding."""
        self._open(batch, now, _NO_LIMIT)

    def _open(self, batch: Batch, now: float, limit: int) -> int:
        with vendor_errors(_WHAT):
            return int(self._record(keys=self._keys(batch.id), args=[*self._encode(batch, now), now, limit]))

    def forget(self, batch_id: str) -> None:
        """Strike out a batch that was recorded but could not be published."""
        with vendor_errors(_WHAT):
            self._forget(keys=self._keys(batch_id), args=[batch_id])

    def begin(self, batch: Batch, now: float, *, lease: float = 0.0) -> Begun:
        """Count an attempt at a batch, at the start of the work, so that a killed process counts too.

        A batch that was published without a ledger entry (plain `send_task`) is recorded now.

        Args:
            batch: as it was delivered.
            now: seconds since 1970.
            lease: seconds for which the batch is this worker's, unless it is renewed. Another delivery of the same
                message meanwhile is told that it is busy; after it, the batch is overdue.
        """
        with vendor_errors(_WHAT):
            attempts, first_seen, settled, busy, queue, deaths, fate = self._begin(
                keys=self._keys(batch.id), args=[*self._encode(batch, now), now, now + lease]
            )
        return Begun(
            attempts=int(attempts),
            first_seen=float(first_seen),
            settled=json.loads(settled) if settled else None,
            busy=bool(busy),
            queue=queue,
            deaths=int(deaths),
            fate=Reason(fate) if fate else None,
        )

    def renew(self, batch_ids: Iterable[str], until: float) -> None:
        """Keep the leases of batches until a time, in seconds since 1970. Those that ended meanwhile stay ended."""
        with vendor_errors(_WHAT):
            for batch_id in batch_ids:
                self._renew(keys=[_BATCH + batch_id, _BEGUN], args=[batch_id, until])

    def let_go(self, batch_ids: Iterable[str], due: float) -> None:
        """Give up leases, so that another delivery may begin at once. The attempts do not count.

        Args:
            batch_ids: of batches that this process has begun on.
            due: from when on they are overdue, in seconds since 1970, should no other delivery come.
        """
        with vendor_errors(_WHAT):
            for batch_id in batch_ids:
                self._let_go(keys=self._keys(batch_id), args=[batch_id, due])

    def died(self, batch_id: str, fate: Reason, now: float) -> Batch | None:
        """Note that the worker of a batch died or hangs, before its lease has run out.

        Returns:
            The batch, to be published again at once; None where it has ended, or where no worker held it.
        """
        with vendor_errors(_WHAT):
            found = self._died(keys=self._keys(batch_id), args=[batch_id, fate, now + self._overdue_seconds])
        return Batch(batch_id, json.loads(found[0]), queue=found[1]) if found else None

    def take_overdue(self, now: float, *, limit: int, queue: str | None) -> list[Batch]:
        """Take batches that should have been begun or settled by now, to be published again.

        Each is overdue again later, the more often it was taken the later, up to 64 times as long.

        Args:
            now: seconds since 1970.
            limit: at most so many.
            queue: those of this queue that no worker has begun on; None: those of any queue whose worker has let its
                lease run out, so that it is dead.
        """
        with vendor_errors(_WHAT):
            taken = self._take_overdue(
                keys=[_BEGUN if queue is None else f"{_WAITING}:{queue}"],
                args=[_BATCH, now, limit, self._overdue_seconds],
            )
        return [Batch(batch_id, json.loads(events), queue=on) for batch_id, events, on in taken]

    def settle(
        self,
        batch_id: str,
        result: Mapping[str, Any],
        now: float,
        *,
        dead: Sequence[DeadLetter] = (),
        successors: Sequence[Batch] = (),
    ) -> bool:
        """End a batch: record its dead letters and the batches that carry on its retries, and close it. All or nothing.

        Args:
            batch_id: the batch.
            result: remembered for an hour, for a second delivery of the same message.
            now: seconds since 1970.
            dead: the events given up.
            successors: batches of the events to try again; they inherit the first sight.

        Returns:
            Whether this call closed it. If it was closed before, nothing happens.

        Raises:
            DeadLettersFull: the stream has no room for `dead`; nothing was changed.
        """
        letters = [json.dumps(asdict(letter)) for letter in dead]
        carry_on = chain.from_iterable(self._encode(successor, now) for successor in successors)
        keys = [*self._keys(batch_id), _DEAD, *(_BATCH + successor.id for successor in successors)]
        with vendor_errors(_WHAT):
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

    def outstanding(self) -> int:
        """Count the events in open batches."""
        with vendor_errors(_WHAT):
            return int(self.connection.get(_OUTSTANDING) or 0)

    def summary(self, now: float) -> Summary:
        """Count what is open and what is dead."""
        with vendor_errors(_WHAT):
            pipeline = self.connection.pipeline(transaction=False)
            pipeline.get(_OUTSTANDING)
            pipeline.zrange(_OPEN, 0, 0, withscores=True)
            pipeline.xlen(_DEAD)
            outstanding, oldest, dead = pipeline.execute()
        return Summary(int(outstanding or 0), max(0.0, now - oldest[0][1]) if oldest else 0.0, dead)

    def dead_letters(self) -> Iterator[DeadLetter]:
        """Read the dead letters, oldest first, a page at a time."""
        return (stored.letter for stored in self.dead.read(Selection()))

    def reopen(self, batch_id: str, dead: Mapping[str, Any], now: float) -> Batch | None:
        """Open a batch of the events of dead letters, and remove these letters. All or nothing.

        Args:
            batch_id: of the new batch, which still has to be published. Its events begin anew.
            dead: the events by the ids of their letters.
            now: seconds since 1970, the new first sight.

        Returns:
            The batch, without the events of letters that are gone; None when all are.
        """
        letters = chain.from_iterable((letter_id, json.dumps(event)) for letter_id, event in dead.items())
        with vendor_errors(_WHAT):
            events = self._reopen(
                keys=[*self._keys(batch_id), _DEAD],
                args=[batch_id, INGEST_QUEUE, now + self._overdue_seconds, now, *letters],
            )
        return Batch(batch_id, json.loads(events)) if events else None

    @staticmethod
    def _keys(batch_id: str) -> list[str]:
        return [_BATCH + batch_id, _SETTLED + batch_id, _OPEN, _WAITING, _BEGUN, _OUTSTANDING]

    def _encode(self, batch: Batch, now: float) -> tuple[str | float, ...]:
        due = now + batch.delay + self._overdue_seconds
        return batch.id, json.dumps(batch.events), len(batch.events), batch.attempts, batch.deaths, batch.queue, due
