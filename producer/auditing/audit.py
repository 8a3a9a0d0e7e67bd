"""The comparison: rows and objects side by side in the order of keys, and a closer look at what seems wrong."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Protocol, TypeVar

from contract import MAX_EVENTS
from contract.audit import Inspected, ListedObject, ObjectsResult, PictureRow, RowsResult
from producer.auditing.differences import AuditCounts, Difference, DifferenceKind
from producer.auditing.store import KnownRow, Store

# One download at its longest takes 60 s, and clocks may differ by as much: a row that was made sooner after the object
# was written may be of what was there before.
DOUBTFUL_MS: Final = 120_000
_PAGE: Final = 5000
_AT_ONCE: Final = 4

_T = TypeVar("_T")
_R = TypeVar("_R")


class Asks(Protocol):
    """Asks the workers. Its methods may be called by several threads at once."""

    def objects(self, after: str, limit: int) -> ObjectsResult:
        """A page of the bucket."""

    def rows(self, after: int, limit: int) -> RowsResult:
        """A page of the collection."""

    def inspect(self, items: list[dict[str, Any]]) -> list[Inspected]:
        """A closer look at 1 to 100 objects."""


@dataclass(frozen=True, slots=True)
class _Suspect:
    """What seems wrong, and is to be looked at closer.

    Attributes:
        key: the object.
        ids: whose it is, if that is known.
        modified: when the object was written; None: it is not listed, though a row names it.
    """

    key: str
    ids: tuple[int, int] | None
    modified: int | None

    def asked(self) -> dict[str, Any]:
        """How workers are asked for it."""
        if self.ids is None:
            return {"object_key": self.key}
        return {"object_key": self.key, "company_id": self.ids[0], "meta_id": self.ids[1]}


@dataclass(frozen=True, slots=True)
class _Looked:
    """A suspect, and what was seen of it.

    Attributes:
        suspect: what seemed wrong.
        seen: of its object, and of the row of its picture.
        superseded_by: whether that row is of another object, which is there.
    """

    suspect: _Suspect
    seen: Inspected
    superseded_by: bool


class Audit:
    """One comparison."""

    def __init__(
        self,
        asks: Asks,
        store: Store,
        *,
        prefix: str = "",
        deep: bool = False,
        progress: Callable[[str, int], None] = lambda _, __: None,
    ) -> None:
        """Compare.

        Args:
            asks: the workers.
            store: empty.
            prefix: of the keys that are compared.
            deep: look closer at every object, not only where the times say that it may have changed.
            progress: told what is being done (`rows`, `objects`), and how many of them are.
        """
        self._asks = asks
        self._store = store
        self._prefix = prefix
        self._deep = deep
        self._progress = progress
        self.counts: Final = AuditCounts()

    def differences(self, dead: Iterable[tuple[str, int]]) -> Iterator[Difference]:
        """Find all differences, as they are found. `counts` is right when there are no more.

        What changes meanwhile may be seen as it was or as it is. Every difference was looked at twice.

        Args:
            dead: the keys of dead letters, and when each was given up, in milliseconds since 1970.
        """
        self._store.add_dead(dead)
        self._read_rows()
        suspects = self._look_closer(self._suspects())
        for difference in suspects:
            self.counts.differences[difference.kind] += 1
            yield difference

    def _read_rows(self) -> None:
        read = 0
        for page in _ahead(lambda after: self._asks.rows(after, _PAGE), -1):
            self._store.add_rows(page["rows"])
            read += len(page["rows"])
            self._progress("rows", read)
        self._store.end_rows()

    def _suspects(self) -> Iterator[_Suspect]:
        """Go through both sides together."""
        rows = _Peeking(self._store.rows(self._prefix.encode()))
        read = 0
        for page in _ahead(lambda after: self._asks.objects(after, _PAGE), ""):
            for one in page["objects"]:
                key = one["object_key"].encode()
                for row in rows.before(key):
                    yield self._orphan(row)
                yield from self._object(one, list(rows.at(key)))
            read += len(page["objects"])
            self._progress("objects", read)
        for row in rows.rest():
            yield self._orphan(row)
        yield from self._superseded()

    def _orphan(self, row: KnownRow) -> _Suspect:
        self.counts.rows += 1
        self._store.add_orphan(row.id)
        return _Suspect(row.key.decode(), (row.company_id, row.meta_id), None)

    def _object(self, one: ListedObject, rows: list[KnownRow]) -> Iterator[_Suspect]:
        key, modified = one["object_key"], one["modified"]
        if not rows and key.endswith("/") and one["size"] == 0:
            return  # what consoles show as a folder
        self.counts.objects += 1
        self.counts.rows += len(rows)
        for row in rows:
            if self._deep or modified > row.indexed_at - DOUBTFUL_MS:
                yield _Suspect(key, (row.company_id, row.meta_id), modified)
        if rows:
            return
        company_id, meta_id = one["company_id"], one["meta_id"]
        if company_id is None or meta_id is None:
            yield _Suspect(key, None, modified)
            return
        other = self._store.of_picture(company_id, meta_id)
        if other is not None and other.key.startswith(self._prefix.encode()):
            # Whether that object is there is known when all are listed.
            self._store.add_other(key.encode(), company_id, meta_id, modified)
        else:
            yield _Suspect(key, (company_id, meta_id), modified)

    def _superseded(self) -> Iterator[_Suspect]:
        """Of objects whose pictures have rows of others, those that are the later ones, or the only ones."""
        for other in self._store.others():
            if other.orphaned or other.modified > other.indexed_at:
                yield _Suspect(other.key.decode(), (other.company_id, other.meta_id), other.modified)
            else:
                self.counts.superseded += 1

    def _look_closer(self, suspects: Iterator[_Suspect]) -> Iterator[Difference]:
        batches = iter(lambda: list(islice(suspects, MAX_EVENTS)), [])
        for looked in _several(self._look, batches):
            self.counts.looked += len(looked)
            for one in looked:
                if (found := self._judge(one)) is not None:
                    yield found

    def _look(self, suspects: list[_Suspect]) -> list[_Looked]:
        seen = self._asks.inspect([one.asked() for one in suspects])
        rows = {
            n: one["row"]["object_key"]
            for n, one in enumerate(seen)
            if one["there"] and one["row"] is not None and one["row"]["object_key"] != suspects[n].key
        }
        others = self._asks.inspect([{"object_key": key} for key in rows.values()]) if rows else []
        there = {n for n, other in zip(rows, others, strict=True) if other["there"]}
        return [_Looked(suspect, seen[n], n in there) for n, suspect in enumerate(suspects)]

    def _judge(self, looked: _Looked) -> Difference | None:
        """What a suspect is, now that it was looked at; None where nothing is wrong any more."""
        suspect, seen = looked.suspect, looked.seen
        kind = _kind(looked, seen["row"])
        if kind is None:
            self.counts.superseded += looked.superseded_by
            return None
        if kind in {DifferenceKind.MISSING, DifferenceKind.CHANGED} and suspect.modified is not None:
            given_up = self._store.given_up(suspect.key.encode())
            if given_up is not None and given_up >= suspect.modified:
                kind = DifferenceKind.DEAD
        return Difference(kind, suspect.key, seen["company_id"], seen["meta_id"])


def _kind(looked: _Looked, row: PictureRow | None) -> DifferenceKind | None:
    """How an object and the row of its picture differ; None where they do not."""
    seen, modified = looked.seen, looked.suspect.modified
    named = row is not None and row["object_key"] == looked.suspect.key
    if modified is None or not seen["there"]:
        # It was removed, now or meanwhile; then the row that names it is found the next time.
        return DifferenceKind.ORPHANED if modified is None and named and not seen["there"] else None
    if seen["company_id"] is None:
        return DifferenceKind.UNMAPPED
    if row is None or not (named or looked.superseded_by):
        return DifferenceKind.MISSING
    by_content = named and seen["crc"] is not None
    same = seen["crc"] == row["content_crc"] if by_content else modified <= row["indexed_at"]
    return None if same else DifferenceKind.CHANGED


class _Peeking:
    """Rows in the order of their keys, taken as far as a key."""

    def __init__(self, rows: Iterator[KnownRow]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def before(self, key: bytes) -> Iterator[KnownRow]:
        """Take the rows of lesser keys."""
        while self._next is not None and self._next.key < key:
            yield self._take(self._next)

    def at(self, key: bytes) -> Iterator[KnownRow]:
        """Take the rows of this key."""
        while self._next is not None and self._next.key == key:
            yield self._take(self._next)

    def rest(self) -> Iterator[KnownRow]:
        """Take all."""
        while self._next is not None:
            yield self._take(self._next)

    def _take(self, row: KnownRow) -> KnownRow:
        self._next = next(self._rows, None)
        return row


def _ahead(read: Callable[[Any], Any], first: Any) -> Iterator[Any]:
    """Read pages, each while the one before is worked on."""
    with ThreadPoolExecutor(1) as thread:
        coming: Future[Any] | None = thread.submit(read, first)
        while coming is not None:
            page = coming.result()
            coming = None if page["next"] is None else thread.submit(read, page["next"])
            yield page


def _several(work: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
    """Work on a few items at once; the results come in their order."""
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        begun: deque[Future[_R]] = deque()
        for item in items:
            begun.append(threads.submit(work, item))
            if len(begun) > _AT_ONCE:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
