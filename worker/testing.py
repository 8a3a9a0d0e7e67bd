"""In-memory doubles of the ports, for the tests of whoever builds on the services.

They pass the same conformance tests as the adapters (`tests/contract/worker`).
"""

import time
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from contract import KeyTemplate, LookalikeError, row_id
from worker.core.errors import Busy, ObjectMissing, RowsRejected, Transient
from worker.core.fingerprints import LOW_QUALITY, Fingerprint, Hash, vector_key
from worker.core.mapping import Mapper
from worker.ports import Claimed, Download, Head, Hit, ListedObject, Row, Sample, Scope

MAPPER: Final = Mapper(("callback", "key", "metadata"), KeyTemplate("uploads/{company_id}/{meta_id}.jpg"), "pictures")

_VECTOR_BYTES: Final = 8
_KEY_BYTES: Final = 1024


@dataclass
class MemoryObjects:
    """An object store. `failing` holds the error that reading a key raises; `read` the keys that were read whole.

    `metadata` holds the user metadata of objects, and `asked` the keys whose head was asked for.
    """

    bodies: dict[str, bytes] = field(default_factory=dict)
    failing: dict[str, Exception] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def crc(self, key: str) -> int | None:
        """A checksum of the object. Any will do that changes with the content."""
        return zlib.crc32(self._body(key))

    def head(self, key: str) -> Head:
        """The checksum and the user metadata of the object."""
        self.asked.append(key)
        return Head(self.crc(key), self.metadata.get(key, {}))

    def objects(self, prefix: str, after: str, limit: int) -> list[ListedObject]:
        """The next objects, all last written in 1970."""
        found = sorted(key for key in self.bodies if key.startswith(prefix) and key.encode() > after.encode())
        return [ListedObject(key, 0, len(self.bodies[key])) for key in sorted(found, key=str.encode)[:limit]]

    def get(self, key: str, deadline: float, reserve: Callable[[int], None] | None = None) -> Download:  # noqa: ARG002 - memory is never late
        """Read an object."""
        self.read.append(key)
        body = self._body(key)
        if reserve is not None:
            reserve(len(body))
        return Download(body, zlib.crc32(body))

    def check(self, key: str) -> None:
        """See whether the object can be read."""
        self._body(key)

    def _body(self, key: str) -> bytes:
        if key in self.failing:
            raise self.failing[key]
        if key not in self.bodies:
            raise ObjectMissing("no such object")
        return self.bodies[key]


@dataclass
class MemoryIndex:
    """A vector index of hashes of 64 bits.

    `error` is raised by every call while it is set; rows whose ids are in `refused` are refused; `upserts` holds the
    size of each upsert, refused or not.
    """

    rows: dict[int, Row] = field(default_factory=dict)
    error: LookalikeError | None = None
    refused: AbstractSet[int] = frozenset()
    upserts: list[int] = field(default_factory=list)

    def lookup(self, keys: Mapping[int, int], *, fresh: bool = False) -> Mapping[int, Row]:  # noqa: ARG002 - always
        """Read rows by primary key."""
        self._fail()
        return {id_: self.rows[id_] for id_ in keys if id_ in self.rows}

    def upsert(self, rows: Sequence[Row]) -> None:
        """Write rows."""
        self._fail()
        self.upserts.append(len(rows))
        if any(self._refuses(row) for row in rows):
            raise RowsRejected("a row is refused")
        self.rows |= {row.id: row for row in rows}

    def delete(self, keys: Mapping[int, int]) -> None:
        """Delete rows."""
        self._fail()
        for id_ in keys:
            self.rows.pop(id_, None)

    def search(
        self, vectors: Sequence[bytes], scope: Scope, limit: int, without: Collection[int] = ()
    ) -> Sequence[Sequence[Hit]]:
        """Compare with every row."""
        self._fail()
        return [list(self._nearest(vector, scope, without))[:limit] for vector in vectors]

    def _nearest(self, vector: bytes, scope: Scope, without: Collection[int]) -> Iterable[Hit]:
        hits = [
            _hit(row, hamming(vector, row.vector))
            for row in self.rows.values()
            if scope.company_id in (None, row.company_id)
            and (scope.low_quality or row.hashes[0].quality >= LOW_QUALITY)
        ]
        near = [
            hit
            for hit in hits
            if hit.vector_key not in without and (scope.max_distance is None or hit.distance <= scope.max_distance)
        ]
        return sorted(near, key=lambda hit: hit.distance)

    def of_vector(self, scope: Scope, vector_key: int, after: int, limit: int) -> list[Hit]:
        """The next rows of one vector."""
        return [_hit(row, 0) for row in self._of_vector(scope, vector_key) if row.id > after][:limit]

    def count_of_vector(self, scope: Scope, vector_key: int) -> int:
        """The number of rows of one vector."""
        return len(self._of_vector(scope, vector_key))

    def _of_vector(self, scope: Scope, key: int) -> list[Row]:
        return [
            row
            for row in self.scan(scope.company_id, -1, len(self.rows))
            if vector_key(row.vector) == key and (scope.low_quality or row.hashes[0].quality >= LOW_QUALITY)
        ]

    def _refuses(self, row: Row) -> bool:
        return row.id in self.refused or len(row.vector) != _VECTOR_BYTES or len(row.object_key.encode()) > _KEY_BYTES

    def scan(self, company_id: int | None, after: int, limit: int) -> list[Row]:
        """The next rows in the order of their ids."""
        self._fail()
        return [self.rows[id_] for id_ in sorted(self.rows) if id_ > after and self._of(company_id, id_)][:limit]

    def sample(self, company_id: int | None, most: int) -> Sample:
        """The vectors of the rows with the least ids."""
        good = [row for row in self.scan(company_id, -1, len(self.rows)) if row.hashes[0].quality >= LOW_QUALITY]
        return Sample(b"".join(row.vector for row in good[:most]), len(good))

    def count(self, company_id: int | None) -> int:
        """The number of rows."""
        self._fail()
        return sum(self._of(company_id, id_) for id_ in self.rows)

    def _of(self, company_id: int | None, id_: int) -> bool:
        return company_id in (None, self.rows[id_].company_id)

    def counts(self) -> Mapping[str, int]:
        """The number of rows."""
        self._fail()
        return {"memory": len(self.rows)}

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


@dataclass
class MemoryClaims:
    """Claims, and the rows last known to be right. Nothing expires.

    `held` has the token of each claim, `locked` the ids that a delete has, `doubtful` those whose object is to be read
    again, whatever the row says.
    """

    rows: dict[int, Row] = field(default_factory=dict)
    held: dict[int, str] = field(default_factory=dict)
    locked: set[int] = field(default_factory=set)
    doubtful: set[int] = field(default_factory=set)
    lock_seconds: float = 120.0

    def claim(self, token: str, ids: Iterable[int]) -> Claimed:
        """Claim pictures, and read what is remembered of their rows."""
        asked = set(ids)
        free = asked - self.locked
        self.held |= dict.fromkeys(free, token)
        return Claimed(
            {id_: self.rows[id_] for id_ in free if id_ in self.rows},
            doubtful=frozenset(free & self.doubtful),
            locked=frozenset(asked - free),
        )

    def confirm(self, token: str, rows: Sequence[Row], failed: Iterable[int] = ()) -> set[int]:
        """End an attempt's claims."""
        unknown = set(failed)
        ids = {row.id for row in rows} | unknown
        lost = {id_ for id_ in ids if self.held.get(id_) != token}
        self.doubtful |= lost | unknown
        for id_ in ids - lost - unknown:
            del self.held[id_]
        self.rows |= {row.id: row for row in rows}
        for id_ in self.doubtful:
            self.rows.pop(id_, None)
        return lost

    @contextmanager
    def lock(self, ids: Iterable[int]) -> Iterator[float]:
        """Keep attempts away from pictures that are being deleted."""
        wanted = set(ids)
        if wanted & self.locked:
            raise Transient("another delete of the same picture is under way")
        self.locked |= wanted
        self.doubtful -= wanted
        for id_ in wanted:
            self.held.pop(id_, None)
            self.rows.pop(id_, None)
        try:
            yield time.monotonic() + self.lock_seconds
        finally:
            self.locked -= wanted


@dataclass
class MemoryJobs:
    """The checkpoints of jobs. `busy` says that somebody else has them all."""

    kept: dict[str, Any] = field(default_factory=dict)
    busy: bool = False

    def load(self, name: str) -> Any:
        """Read a checkpoint."""
        return self.kept.get(name)

    def save(self, name: str, checkpoint: Any) -> None:
        """Write a checkpoint."""
        self.kept[name] = checkpoint

    def drop(self, name: str) -> None:
        """Forget a checkpoint."""
        self.kept.pop(name, None)

    @contextmanager
    def turn(self, name: str, *, seconds: int = 60) -> Iterator[None]:  # noqa: ARG002 - there is nobody else
        """Have a job alone."""
        if self.busy:
            raise Busy(name)
        yield


def make_row(
    meta_id: int,
    company_id: int = 1,
    *,
    vector: bytes = bytes(8),
    object_key: str = "a.jpg",
    content_crc: int = 5,
    indexed_at: int = 6,
    quality: int = 100,
    profile: str = "ahash",
    size: tuple[int, int] = (640, 480),
) -> Row:
    """A row with one hash."""
    return Row(
        id=row_id(company_id, meta_id),
        meta_id=meta_id,
        company_id=company_id,
        hashes=(Hash(profile, vector, quality),),
        object_key=object_key,
        content_crc=content_crc,
        indexed_at=indexed_at,
        width=size[0],
        height=size[1],
    )


def _hit(row: Row, distance: int) -> Hit:
    return Hit(
        distance=distance,
        id=row.id,
        meta_id=row.meta_id,
        company_id=row.company_id,
        object_key=row.object_key,
        quality=row.hashes[0].quality,
        indexed_at=row.indexed_at,
        vector_key=vector_key(row.vector),
    )


def fingerprinting(create_vector: Callable[[bytes], bytes], profile: str = "ahash") -> Callable[[bytes], Fingerprint]:
    """What hashes pictures of no size by one profile, all of the best quality."""
    return lambda body: Fingerprint(0, 0, (Hash(profile, create_vector(body), 100),))


def hamming(one: bytes, other: bytes) -> int:
    """The Hamming distance of two vectors of equal length, in bits."""
    return sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True))
