"""OSS and Milvus behind the fuse: asked only while it is whole, and what they refuse for all blows it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import structlog

from contract import LookalikeError
from worker.core.errors import Misconfigured, ObjectMissing, Permanent
from worker.ports import CheckableObjectStore, Download, Head, Row, VectorIndex
from worker.services.fuse import Fuse

log = structlog.get_logger(__name__)

_REMEMBERED: Final = 3


class GuardedObjects:
    """An object store that tells an object that is refused (its own ACL) from a bucket that is.

    It remembers the objects that were read last: while one of them can still be read, a refusal is the object's own,
    and stops nobody else.
    """

    def __init__(self, objects: CheckableObjectStore, fuse: Fuse) -> None:
        self._objects = objects
        self._fuse = fuse
        # Replaced as a whole, never changed: threads share it.
        self._read: tuple[str, ...] = ()
        self._refused: str | None = None

    def crc(self, key: str) -> int | None:
        """The object's checksum, without reading it."""
        with self._guarded(key):
            return self._objects.crc(key)

    def head(self, key: str) -> Head:
        """What the store says of the object, without reading it."""
        with self._guarded(key):
            return self._objects.head(key)

    def get(self, key: str, deadline: float, reserve: Callable[[int], None] | None = None) -> Download:
        """Read an object."""
        with self._guarded(key):
            download = self._objects.get(key, deadline, reserve)
        if key not in self._read:
            self._read = (key, *self._read)[:_REMEMBERED]
        return download

    def probe(self) -> None:
        """Return when an object can be read that could be before, or that was refused first.

        Raises:
            Misconfigured, Transient: as the store does. That an object is missing or cannot be used was not refused.
        """
        refusal: Misconfigured | None = None
        for key in filter(None, (*self._read, self._refused)):
            try:
                self._objects.check(key)
            except Misconfigured as error:
                refusal = error
            except (ObjectMissing, Permanent):
                return
            else:
                return
        if refusal is not None:
            raise refusal

    @contextmanager
    def _guarded(self, key: str) -> Iterator[None]:
        self._fuse.require_whole()
        try:
            yield
        except Misconfigured as error:
            if self._another_is_readable(key):
                log.warning("object_refused", object_key=key, error=str(error))
            else:
                self._refused = key
                self._fuse.blow(error)
            raise

    def _another_is_readable(self, key: str) -> bool:
        """Whether the store still gives out another object. Only a refusal says that it does not."""
        for other in self._read:
            if other == key:
                continue
            try:
                self._objects.check(other)
            except Misconfigured:
                continue
            except LookalikeError:
                return True
            else:
                return True
        return False


class GuardedIndex:
    """A vector index. Whatever it refuses it refuses for all.

    Only `lookup`, with which all work begins, asks for a whole fuse: rows that are made already are still written.
    """

    def __init__(self, index: VectorIndex, fuse: Fuse) -> None:
        self._index = index
        self._fuse = fuse

    def lookup(self, keys: Mapping[int, int], *, fresh: bool = False) -> Mapping[int, Row]:
        """Read rows by primary key."""
        self._fuse.require_whole()
        with self._guarded():
            return self._index.lookup(keys, fresh=fresh)

    def upsert(self, rows: Sequence[Row]) -> None:
        """Write rows."""
        with self._guarded():
            self._index.upsert(rows)

    def delete(self, keys: Mapping[int, int]) -> None:
        """Delete rows."""
        with self._guarded():
            self._index.delete(keys)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except Misconfigured as error:
            self._fuse.blow(error)
            raise
