"""From events to rows: download, hash, write. One outcome for each event, in order."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import structlog

from contract import InvalidMessage, LookalikeError, Reason, UploadEvent, decode_event, row_id
from worker.core.errors import IdCollision
from worker.core.outcomes import Dead, Indexed, Outcome, Retry, RetryPolicy, Unchanged
from worker.ports import ObjectStore, Recent, Row, RowWriter, VectorIndex

log = structlog.get_logger(__name__)


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


class Ingest:
    """Indexes events. It is shared by the threads of a process."""

    def __init__(
        self,
        objects: ObjectStore,
        index: VectorIndex,
        recent: Recent,
        writer: RowWriter,
        create_vector: Callable[[bytes], bytes],
        *,
        policy: RetryPolicy,
        budget: Budget,
        stopping: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._objects = objects
        self._index = index
        self._recent = recent
        self._writer = writer
        self._create_vector = create_vector
        self._policy = policy
        self._budget = budget
        self._stopping = stopping
        self._monotonic = monotonic

    def __call__(self, raw_events: Sequence[object], attempt: int) -> list[Outcome]:
        """Index the events of one message.

        Args:
            raw_events: as they came, 1 to 100.
            attempt: which try this is, from 1.

        Returns:
            One outcome for each event, in their order. A bad event never fails its siblings.
        """
        begin_by = self._monotonic() + self._budget.begin
        decoded = [_decode(raw) for raw in raw_events]
        outcomes: dict[int, Outcome] = {n: event for n, event in enumerate(decoded) if isinstance(event, Dead)}
        outcomes |= _repeats(decoded)
        todo = {n: event for n, event in enumerate(decoded) if isinstance(event, UploadEvent) and n not in outcomes}
        try:
            stored = self._stored(todo.values())
        except LookalikeError as error:
            return _in_order(outcomes | {n: self._policy.decide(event, error, attempt) for n, event in todo.items()})

        rows: dict[int, Row] = {}
        for n, event in todo.items():
            with _bound(event):
                if self._stopping() or self._monotonic() > begin_by:
                    why = "the worker is stopping" if self._stopping() else "the batch ran out of time"
                    outcomes[n] = Retry(event, why, 0, counts=False)
                    continue
                try:
                    row = self._row(event, stored.get(row_id(event.company_id, event.meta_id)))
                except Exception as error:  # noqa: BLE001 - whatever one picture does, its siblings go on
                    outcomes[n] = self._policy.decide(event, error, attempt)
                else:
                    outcomes[n] = Unchanged(event) if row is None else Indexed(event)
                    if row is not None:
                        rows[n] = row
        if rows:
            try:
                refused = self._writer.write(list(rows.values()), self._monotonic() + self._budget.write)
                self._recent.put([row for row in rows.values() if row.id not in refused])
            except LookalikeError as error:
                outcomes |= {n: self._policy.decide(todo[n], error, attempt) for n in rows}
            else:
                outcomes |= {
                    n: self._policy.decide(todo[n], refused[row.id], attempt)
                    for n, row in rows.items()
                    if row.id in refused
                }
        return _in_order(outcomes)

    def _stored(self, events: Iterable[UploadEvent]) -> Mapping[int, Row]:
        """Read the rows that exist already.

        Most events are of new pictures, which the cheap read tells. A row that it does find may have been deleted a
        moment ago; the fresh read (0.3 s) makes sure, or the event would be taken for unchanged and have no row.
        """
        keys = {row_id(event.company_id, event.meta_id): event.company_id for event in events}
        recent = self._recent.get(keys)
        found = self._index.lookup({id_: company for id_, company in keys.items() if id_ not in recent})
        sure = self._index.lookup({id_: keys[id_] for id_ in found}, fresh=True) if found else found
        return {**sure, **recent}

    def _row(self, event: UploadEvent, stored: Row | None) -> Row | None:
        """Make the event's row; None where the stored one is already that."""
        id_ = row_id(event.company_id, event.meta_id)
        same = stored is not None and stored.object_key == event.object_key
        if stored is not None and (stored.company_id, stored.meta_id) != (event.company_id, event.meta_id):
            raise IdCollision(f"its primary key {id_} is that of another picture")
        if stored is not None and same and self._objects.crc(event.object_key) == stored.content_crc:
            return None
        download = self._objects.get(event.object_key, self._monotonic() + self._budget.each)
        vector = self._create_vector(download.body)
        row = Row(
            id=id_,
            meta_id=event.meta_id,
            company_id=event.company_id,
            image_vector=vector,
            object_key=event.object_key,
            content_crc=download.crc,
            indexed_at=time.time_ns() // 1_000_000,
        )
        return None if stored is not None and replace(row, indexed_at=stored.indexed_at) == stored else row


def _decode(raw: object) -> UploadEvent | Dead:
    try:
        return decode_event(raw)
    except InvalidMessage as error:
        return Dead(raw, Reason.INVALID, str(error))


def _repeats(decoded: Sequence[UploadEvent | Dead]) -> dict[int, Outcome]:
    """The outcomes of events whose row another event of the message writes: of the same picture the last one wins."""
    outcomes: dict[int, Outcome] = {}
    last: dict[int, UploadEvent] = {}
    for n, event in reversed(list(enumerate(decoded))):
        if not isinstance(event, UploadEvent):
            continue
        id_ = row_id(event.company_id, event.meta_id)
        winner = last.setdefault(id_, event)
        if winner is event:
            continue
        if (winner.company_id, winner.meta_id) == (event.company_id, event.meta_id):
            outcomes[n] = Unchanged(event)
        else:
            outcomes[n] = Dead(event.model_dump(), Reason.ID_COLLISION, f"its primary key {id_} is another picture's")
    return outcomes


def _in_order(outcomes: Mapping[int, Outcome]) -> list[Outcome]:
    return [outcomes[n] for n in sorted(outcomes)]


@contextmanager
def _bound(event: UploadEvent) -> Iterator[None]:
    """Every log line in here names the event."""
    with structlog.contextvars.bound_contextvars(**event.model_dump()):
        yield
