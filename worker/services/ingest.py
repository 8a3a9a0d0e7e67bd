"""From events to rows: claim, download, hash, write, confirm. One outcome for each event, in order.

Events of one picture may be worked on at the same time and in any order. The claim lets the attempt that began last be
the one that counts; an attempt that has lost its claim reads the object again: `docs/adr/0009-order.md`.
"""

import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final
from uuid import uuid4

import structlog

from contract import LookalikeError, Reason, UploadEvent, row_id
from producer import tracing
from worker import metrics
from worker.core.errors import IdCollision, ObjectMissing
from worker.core.fingerprints import Fingerprint
from worker.core.mapping import Mapper
from worker.core.outcomes import Dead, Indexed, Outcome, Removed, Retry, RetryPolicy, Unchanged
from worker.ports import Claims, ObjectStore, Row, RowWriter, VectorIndex
from worker.services.helpers import Helpers
from worker.services.identifying import Identifying
from worker.services.removal import Removal
from worker.services.room import Room

log = structlog.get_logger(__name__)

_LOCKED_SECONDS: Final = 1.0
_LOST_SECONDS: Final = 0.5
# Producers and workers may have clocks that differ by so much.
_SKEW_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Budget:
    """Seconds that a batch may take, so that it ends before its message is delivered again.

    Attributes:
        begin: an event that has not begun by then is handed back.
        each: for one object.
        write: for the rows to be durable.
    """

    begin: float
    each: float
    write: float


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of pictures before their objects are read.

    Attributes:
        rows: by id.
        unsure: ids whose row may be another by now.
        locked: ids that are being deleted.
    """

    rows: Mapping[int, Row]
    unsure: frozenset[int]
    locked: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Batch:
    """What the events of a message share.

    Attributes:
        begun: when work on it began, by the monotonic clock.
        attempt: which try it is, from 1.
        since: when it was enqueued, in seconds since 1970.
        known: of its pictures.
    """

    begun: float
    attempt: int
    since: float
    known: _Known


class Ingest:
    """Indexes events. It is shared by the threads of a process."""

    def __init__(
        self,
        objects: ObjectStore,
        index: VectorIndex,
        claims: Claims,
        writer: RowWriter,
        fingerprint: Callable[[bytes], Fingerprint],
        *,
        profiles: Collection[str],
        mapper: Mapper,
        removal: Removal,
        helpers: Helpers,
        room: Room,
        policy: RetryPolicy,
        budget: Budget,
        stopping: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Index events.

        Args:
            objects: the pictures.
            index: the rows.
            claims: on the pictures.
            writer: of the rows.
            fingerprint: from a picture's bytes to its hashes.
            profiles: the names of the profiles that it hashes by.
            mapper: finds the ids of events that have none.
            removal: of rows whose objects are gone.
            helpers: who join in the work on a message.
            room: in bytes, for the bodies that were downloaded and are not yet hashed.
            policy: what a failure means.
            budget: of seconds.
            stopping: whether nothing more may begin.
            monotonic: a clock.
        """
        self._objects = objects
        self._index = index
        self._claims = claims
        self._writer = writer
        self._removal = removal
        self._identify = Identifying(objects, mapper, helpers=helpers, policy=policy)
        self._helpers = helpers
        self._room = room
        self._fingerprint = fingerprint
        self._profiles = frozenset(profiles)
        self._policy = policy
        self._budget = budget
        self._stopping = stopping
        self._monotonic = monotonic

    def __call__(self, raw_events: Sequence[object], attempt: int, since: float) -> list[Outcome]:
        """Index the events of one message.

        Args:
            raw_events: as they came, 1 to 100.
            attempt: which try this is, from 1.
            since: when they were enqueued, in seconds since 1970.

        Returns:
            One outcome for each event, in their order. A bad event never fails its siblings.
        """
        begun = self._monotonic()
        events: dict[int, UploadEvent] = {}
        outcomes: dict[int, Outcome] = {}
        for n, event in enumerate(self._identify(raw_events, attempt)):
            if isinstance(event, UploadEvent):
                events[n] = event
            else:
                outcomes[n] = event
        outcomes |= self._remove({n: event for n, event in events.items() if event.when == "removed"}, attempt)
        outcomes |= _repeats({n: event for n, event in events.items() if n not in outcomes})
        todo = {n: event for n, event in events.items() if n not in outcomes}
        token = uuid4().hex
        try:
            known = self._claim(token, todo.values(), trust=attempt == 1)
        except LookalikeError as error:
            return _in_order(outcomes | {n: self._policy.decide(event, error, attempt) for n, event in todo.items()})

        batch = _Batch(begun, attempt, since, known)
        rows: dict[int, Row] = {}
        unchanged: dict[int, Row] = {}
        tried = self._helpers.map(lambda event: self._try(event, batch), list(todo.values()))
        for n, (outcome, row) in zip(todo, tried, strict=True):
            outcomes[n] = outcome
            if row is not None:
                (rows if isinstance(outcome, Indexed) else unchanged)[n] = row
        failed = self._write(rows, todo, attempt)
        done = {n: row for n, row in (rows | unchanged).items() if n not in failed}
        try:
            lost = self._claims.confirm(token, list(done.values()), [rows[n].id for n in failed])
        except LookalikeError as error:
            failed |= {n: self._policy.decide(todo[n], error, attempt) for n in done}
        else:
            delay = _lost_delay(self._monotonic() - begun, cap=self._policy.cap)
            failed |= {n: _overtaken(todo[n], delay) for n, row in done.items() if row.id in lost}
        return _in_order(outcomes | failed)

    def _remove(self, events: Mapping[int, UploadEvent], attempt: int) -> dict[int, Outcome]:
        """Take out the rows of those whose objects are gone; the outcome of each."""
        failed: dict[str, Exception] = {}

        def is_gone(key: str) -> bool:
            try:
                self._objects.head(key)
            except ObjectMissing:
                return True
            except LookalikeError as error:
                failed[key] = error
            return False

        if not events:
            return {}
        try:
            removed = self._removal.of_gone_objects(list(events.values()), is_gone)
        except LookalikeError as error:
            return {n: self._policy.decide(event, error, attempt) for n, event in events.items()}
        log.info("objects_removed", events=len(events), rows=removed)
        return {
            n: self._policy.decide(event, failed[event.object_key], attempt)
            if event.object_key in failed
            else Removed(event)
            for n, event in events.items()
        }

    def _try(self, event: UploadEvent, batch: _Batch) -> tuple[Outcome, Row | None]:
        """Work on one event, up to its row: what becomes of it if that is written, and the row if it has one.

        An event that is unchanged has the row that is stored. Whatever one picture does, its siblings go on.
        """
        id_ = row_id(event.company_id, event.meta_id)
        stored = batch.known.rows.get(id_)
        with _bound(event):
            if id_ in batch.known.locked:
                return Retry(event, "a delete of it is under way", _LOCKED_SECONDS, counts=False), None
            if why := self._must_hand_back(batch.begun):
                return Retry(event, why, 0, counts=False), None
            try:
                sure = id_ not in batch.known.unsure
                if event.when is not None and not self._applies(event, stored, sure=sure):
                    return Unchanged(event), None
                row = self._row(event, stored, sure=sure)
            except Exception as error:  # noqa: BLE001 - as above
                return self._failed(event, error, batch), None
            return (Unchanged(event) if row is stored else Indexed(event)), row

    def _applies(self, event: UploadEvent, stored: Row | None, *, sure: bool) -> bool:
        """Whether the condition holds that an event makes."""
        if not sure:
            id_ = row_id(event.company_id, event.meta_id)
            stored = self._index.lookup({id_: event.company_id}, fresh=True).get(id_)
        if stored is None:
            return event.when == "absent"
        return stored.object_key == event.object_key

    def _must_hand_back(self, begun: float) -> str | None:
        """Why a batch that began then begins no further event; None where it may."""
        if self._stopping():
            return "the worker is stopping"
        return "the batch ran out of time" if self._monotonic() > begun + self._budget.begin else None

    def _claim(self, token: str, events: Iterable[UploadEvent], *, trust: bool) -> _Known:
        """Claim the pictures, and read the rows that exist already.

        Most events are of new pictures, which the cheap read tells. A row that it does find may have been deleted a
        moment ago; the fresh read (0.3 s) makes sure, or the event would be taken for unchanged and have no row. Where
        it is doubtful from the beginning, the object is read again whatever the row says, which takes no longer, and
        needs no fresh read of a Milvus that has just been started.

        Args:
            token: the claim's.
            events: of the pictures.
            trust: False where a try before this one may have ended between its write and its confirmation.
        """
        keys = {row_id(event.company_id, event.meta_id): event.company_id for event in events}
        claimed = self._claims.claim(token, keys)
        free = keys.keys() - claimed.locked
        unsure = claimed.doubtful if trust else free
        recent = claimed.rows if trust else {}
        found = self._index.lookup({id_: keys[id_] for id_ in free - recent.keys()})
        sure = self._index.lookup({id_: keys[id_] for id_ in found.keys() - unsure}, fresh=True)
        rows = {id_: row for id_, row in found.items() if id_ in unsure}
        return _Known({**rows, **sure, **recent}, frozenset(unsure), claimed.locked)

    def _write(self, rows: Mapping[int, Row], events: Mapping[int, UploadEvent], attempt: int) -> dict[int, Outcome]:
        """Write rows; the outcomes of those that were not written, or not surely."""
        if not rows:
            return {}
        try:
            refused = self._writer.write(list(rows.values()), self._monotonic() + self._budget.write)
        except LookalikeError as error:
            return {n: self._policy.decide(events[n], error, attempt) for n in rows}
        return {
            n: self._policy.decide(events[n], refused[row.id], attempt) for n, row in rows.items() if row.id in refused
        }

    def _failed(self, event: UploadEvent, error: Exception, batch: _Batch) -> Outcome:
        """Say what an error means for an event.

        An object that is gone takes its row along, if that was written since the event was enqueued: it may be of an
        attempt that was under way when the picture was deleted. An older row is left to a delete, so that a bucket that
        was named wrong does not empty the index.
        """
        outcome = self._policy.decide(event, error, batch.attempt)
        if not (isinstance(outcome, Dead) and outcome.reason is Reason.NOT_FOUND):
            return outcome
        known = batch.known
        id_ = row_id(event.company_id, event.meta_id)
        try:
            rows = self._index.lookup({id_: event.company_id}, fresh=True) if id_ in known.unsure else known.rows
            stored = rows.get(id_)
            ours = stored is not None and stored.object_key == event.object_key
            if stored is not None and ours and stored.indexed_at / 1000 >= batch.since - _SKEW_SECONDS:
                self._removal.withdraw(stored)
        except LookalikeError as again:
            return self._policy.decide(event, again, batch.attempt)
        return outcome

    def _row(self, event: UploadEvent, stored: Row | None, *, sure: bool) -> Row:
        """Make the event's row; the stored one where it is already that, and is sure to be the last."""
        id_ = row_id(event.company_id, event.meta_id)
        if stored is not None and (stored.company_id, stored.meta_id) != (event.company_id, event.meta_id):
            raise IdCollision(f"its primary key {id_} is that of another picture")
        trusted = stored if sure and self._is_whole(stored, event) else None
        if trusted is not None and self._objects.crc(event.object_key) == trusted.content_crc:
            return trusted
        fingerprint, crc = self._hash(event.object_key)
        row = Row(
            id=id_,
            meta_id=event.meta_id,
            company_id=event.company_id,
            hashes=fingerprint.hashes,
            object_key=event.object_key,
            content_crc=crc,
            indexed_at=time.time_ns() // 1_000_000,
            width=fingerprint.width,
            height=fingerprint.height,
        )
        return trusted if trusted is not None and replace(row, indexed_at=trusted.indexed_at) == trusted else row

    def _is_whole(self, stored: Row | None, event: UploadEvent) -> bool:
        """Whether a row is of the event's object, and has its hash by every profile."""
        return stored is not None and stored.object_key == event.object_key and self._profiles.issubset(stored.profiles)

    def _hash(self, key: str) -> tuple[Fingerprint, int]:
        """Read an object and hash it: its hashes, and its CRC-64. There is room for its bytes from before to after."""
        deadline = self._monotonic() + self._budget.each
        with self._room.reservation(deadline) as reserve:
            with metrics.DOWNLOAD.time(), tracing.span("download"):
                download = self._objects.get(key, deadline, reserve)
            metrics.DOWNLOADED_BYTES.inc(len(download.body))
            return self._fingerprint(download.body), download.crc


def _repeats(events: Mapping[int, UploadEvent]) -> dict[int, Outcome]:
    """The outcomes of events whose row another event of the message writes: of the same picture the last one wins."""
    outcomes: dict[int, Outcome] = {}
    last: dict[int, UploadEvent] = {}
    for n, event in reversed(list(events.items())):
        id_ = row_id(event.company_id, event.meta_id)
        winner = last.setdefault(id_, event)
        if winner is event:
            continue
        if (winner.company_id, winner.meta_id) == (event.company_id, event.meta_id):
            outcomes[n] = Unchanged(event)
        else:
            outcomes[n] = Dead(event.model_dump(), Reason.ID_COLLISION, f"its primary key {id_} is another picture's")
    return outcomes


def _overtaken(event: UploadEvent, delay: float) -> Retry:
    return Retry(event, "another event of the picture began meanwhile", delay, counts=False, overtaken=True)


def _lost_delay(elapsed: float, *, cap: float, chance: Callable[[], float] = random.random) -> float:
    """Seconds to wait, at most `cap`, after an attempt that took `elapsed` seconds and lost a claim.

    Whoever took the claim began later, and needs about as long. By then it has ended, and chance parts all others.
    """
    return min(cap / 2, _LOST_SECONDS + elapsed) * (1 + chance())


def _in_order(outcomes: Mapping[int, Outcome]) -> list[Outcome]:
    return [outcomes[n] for n in sorted(outcomes)]


@contextmanager
def _bound(event: UploadEvent) -> Iterator[None]:
    """Every log line in here names the event."""
    with structlog.contextvars.bound_contextvars(**event.model_dump()):
        yield
