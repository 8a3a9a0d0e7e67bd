"""What the worker needs of the world outside: one protocol for each thing, one adapter for each vendor."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from worker.core.errors import Permanent
from worker.core.fingerprints import Hash


@dataclass(frozen=True, slots=True)
class Download:
    """An object's bytes, whole and checked.

    Attributes:
        body: the bytes.
        crc: their CRC-64 (ECMA-182), an unsigned 64-bit integer.
    """

    body: bytes
    crc: int


@dataclass(frozen=True, slots=True)
class Head:
    """What a store says of an object.

    Attributes:
        crc: the CRC-64 of its content, as `Download.crc`; None where the store does not know it.
        metadata: its headers that begin with `x-oss-meta-`, names in lower case.
    """

    crc: int | None
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An object in a listing.

    Attributes:
        key: the object.
        modified: when it was last written, in milliseconds since 1970.
        size: in bytes.
    """

    key: str
    modified: int
    size: int


@dataclass(frozen=True, slots=True)
class Row:
    """A picture as Milvus stores it.

    Attributes:
        id: primary key, `contract.row_id(company_id, meta_id)`.
        meta_id: the application's picture.
        company_id: the application's tenant.
        hashes: one for each profile that a worker computes, in its order. Each is stored in a collection of its own,
            beside all the other fields.
        object_key: the object in OSS.
        content_crc: CRC-64 of the object's bytes, an unsigned 64-bit integer.
        indexed_at: when the row was made, in milliseconds since 1970.
        width: of the picture as it is stored, in pixels.
        height: the same.
    """

    id: int
    meta_id: int
    company_id: int
    hashes: tuple[Hash, ...]
    object_key: str
    content_crc: int
    indexed_at: int
    width: int
    height: int

    @property
    def profiles(self) -> tuple[str, ...]:
        """The names of the profiles it has hashes of."""
        return tuple(hashed.profile for hashed in self.hashes)

    @property
    def vector(self) -> bytes:
        """The vector of the first profile."""
        return self.hashes[0].vector


class Picture(NamedTuple):
    """A picture that a collection names: its primary key there, whose it is, and its object."""

    id: int
    meta_id: int
    company_id: int
    object_key: str


class Hit(NamedTuple):
    """A row found by a search, and its Hamming distance in bits. Hits sort nearest first, equal distances by id.

    A tuple, because a call of 100 queries makes thousands of them: a frozen dataclass takes nearly three times as long.
    `vector_key` stands for the vector: equal ones have equal keys.
    """

    distance: int
    id: int
    meta_id: int
    company_id: int
    object_key: str
    quality: int
    indexed_at: int
    vector_key: int


class Scope(NamedTuple):
    """Which rows a search looks at.

    Attributes:
        company_id: a tenant's; None: all.
        low_quality: those of blank and nearly blank pictures too.
        max_distance: no further away than so many bits; None: however far.
        fresh: all that were acknowledged before.
    """

    company_id: int | None
    low_quality: bool = False
    max_distance: int | None = None
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """Vectors of some rows, and of how many rows they are a sample.

    Attributes:
        vectors: packed, one after the other.
        total: the number of rows.
    """

    vectors: bytes
    total: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """What is known of pictures that an attempt wants to claim.

    Attributes:
        rows: by id, the rows that are remembered. A read of the index may not show them yet.
        doubtful: ids of which an attempt that had lost its claim may have written the row: the object is to be
            read again, whatever the row says.
        locked: ids that are being deleted. They were not claimed.
    """

    rows: Mapping[int, Row] = field(default_factory=dict)
    doubtful: frozenset[int] = frozenset()
    locked: frozenset[int] = frozenset()


class ObjectStore(Protocol):
    """Where the pictures are.

    All methods raise `ObjectMissing`, `Transient`, `Permanent` or `Misconfigured`. A deadline is a value of
    `time.monotonic()`.
    """

    def crc(self, key: str) -> int | None:
        """The CRC-64 of the object's content as the store knows it, without reading it; None where it does not."""

    def head(self, key: str) -> Head:
        """What the store says of the object, without reading it."""

    def get(self, key: str, deadline: float, reserve: Callable[[int], None] | None = None) -> Download:
        """Read an object.

        `reserve` is told once, before any of the body is read, how many bytes that will have at the most. It returns
        when there is room for them, and what it raises is raised.
        """


class CheckableObjectStore(ObjectStore, Protocol):
    """An object store that tells whether it still gives an object out."""

    def check(self, key: str) -> None:
        """Read one byte of an object, to see whether it can be read."""


class Listing(Protocol):
    """The objects of a bucket, in the order of their keys' UTF-8 bytes. It raises as `ObjectStore` does."""

    def objects(self, prefix: str, after: str, limit: int) -> list[ListedObject]:
        """The next `limit` objects (1 to 1,000) whose keys begin with a prefix and are greater than `after`.

        Fewer only at the end.
        """


class VectorIndex(Protocol):
    """Where the rows are. Its methods raise `Transient` or `Misconfigured`."""

    def lookup(self, keys: Mapping[int, int], *, fresh: bool = False) -> Mapping[int, Row]:
        """Read rows by primary key. `keys` maps each id to its company; ids that are not there are left out."""

    def upsert(self, rows: Sequence[Row]) -> None:
        """Write rows, each id once. It raises `RowsRejected` too, and then some of them may have been written."""

    def delete(self, keys: Mapping[int, int]) -> None:
        """Delete rows by primary key, given with their companies."""


class SearchableIndex(VectorIndex, Protocol):
    """A vector index whose rows are found by their vectors, and counted."""

    def search(
        self, vectors: Sequence[bytes], scope: Scope, limit: int, without: Collection[int] = ()
    ) -> Sequence[Sequence[Hit]]:
        """Find the rows nearest to each vector, in one call, but for those of some vectors, given by their keys."""

    def of_vector(self, scope: Scope, vector_key: int, after: int, limit: int) -> list[Hit]:
        """The next `limit` rows of one vector, in the order of their ids, as if it had been searched for (distance 0).

        Fewer only at the end.
        """

    def count_of_vector(self, scope: Scope, vector_key: int) -> int:
        """The number of rows of one vector."""

    def scan(self, company_id: int | None, after: int, limit: int) -> list[Row]:
        """The next `limit` rows of one tenant or (None) all in the order of their ids; fewer only at the end."""

    def sample(self, company_id: int | None, most: int) -> Sample:
        """About `most` vectors drawn uniformly from one tenant's rows or (None) all, without those of low quality."""

    def count(self, company_id: int | None) -> int:
        """The number of rows of one tenant or (None) all."""

    def counts(self) -> Mapping[str, int]:
        """The number of rows of each of our collections."""


class PictureSource(Protocol):
    """A collection that names pictures. Its methods raise `Transient` or `Misconfigured`."""

    def total(self) -> int:
        """Count its rows."""

    def pictures(self, after: int, limit: int) -> list[Picture]:
        """The next `limit` pictures in the order of their primary keys; fewer only at the end."""


class Jobs(Protocol):
    """The checkpoints of long jobs, by name. Its methods raise `Transient`."""

    def load(self, name: str) -> Any:
        """Read a checkpoint; None where there is none."""

    def save(self, name: str, checkpoint: Any) -> None:
        """Write a checkpoint, of what JSON can hold."""

    def drop(self, name: str) -> None:
        """Forget a checkpoint."""

    def turn(self, name: str, *, seconds: int = 60) -> AbstractContextManager[None]:
        """Have a job alone for one step, for so long at the most. It raises `Busy` where somebody else has it."""


class Claims(Protocol):
    """Which attempt began last on a picture, and its row as it was last known to be right.

    A picture goes by its row's primary key. The methods raise `Transient`.
    """

    def claim(self, token: str, ids: Iterable[int]) -> Claimed:
        """Claim pictures for an attempt, before anything of them is read.

        An earlier attempt's claim is lost with that. A picture that is being deleted is not claimed.
        """

    def confirm(self, token: str, rows: Sequence[Row], failed: Iterable[int] = ()) -> set[int]:
        """End an attempt's claims.

        Args:
            token: the attempt's.
            rows: as they are in the index, written just now or found unchanged. They are remembered for a minute,
                unless their claim was lost, or an attempt that had lost its own may have written over them.
            failed: ids whose rows may have been written or not.

        Returns:
            The ids whose claim was lost: another attempt, or a delete, began meanwhile.
        """

    def lock(self, ids: Iterable[int]) -> AbstractContextManager[float]:
        """Keep all attempts away from pictures that are being deleted, and forget their rows.

        Those under way lose their claims. The value is the time of `time.monotonic()` at which the lock ends by itself.

        Raises:
            Transient: another delete has locked one of them; none is locked.
        """


class RowWriter(Protocol):
    """Writes rows and returns when they are durable."""

    def write(self, rows: Sequence[Row], deadline: float) -> Mapping[int, Permanent]:
        """Write, or raise `Transient`, `Misconfigured`. A deadline is a value of `time.monotonic()`.

        Returns:
            Why a row is refused, by its id. The others are durable; all of them, where this is empty.
        """
