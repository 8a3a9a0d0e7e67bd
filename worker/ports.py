"""What the worker needs of the world outside: one protocol for each thing, one adapter for each vendor."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from worker.core.errors import Permanent


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
class Row:
    """A picture as Milvus stores it.

    Attributes:
        id: primary key, `contract.row_id(company_id, meta_id)`.
        meta_id: the application's picture.
        company_id: the application's tenant.
        image_vector: the packed hash.
        object_key: the object in OSS.
        content_crc: CRC-64 of the object's bytes, an unsigned 64-bit integer.
        indexed_at: when the row was made, in milliseconds since 1970.
    """

    id: int
    meta_id: int
    company_id: int
    image_vector: bytes
    object_key: str
    content_crc: int
    indexed_at: int


@dataclass(frozen=True, slots=True)
class Hit:
    """A row found by a search, and its Hamming distance in bits."""

    id: int
    meta_id: int
    company_id: int
    object_key: str
    distance: int


class ObjectStore(Protocol):
    """Where the pictures are.

    All methods raise `ObjectMissing`, `Transient`, `Permanent` or `Misconfigured`. A deadline is a value of
    `time.monotonic()`.
    """

    def crc(self, key: str) -> int | None:
        """The CRC-64 of the object's content as the store knows it, without reading it; None where it does not."""

    def get(self, key: str, deadline: float) -> Download:
        """Read an object."""

    def check(self, key: str) -> None:
        """Read one byte of an object, to see whether it can be read."""


class VectorIndex(Protocol):
    """Where the rows are. Its methods raise `Transient` or `Misconfigured`."""

    def lookup(self, keys: Mapping[int, int], *, fresh: bool = False) -> Mapping[int, Row]:
        """Read rows by primary key. `keys` maps each id to its company; ids that are not there are left out."""

    def upsert(self, rows: Sequence[Row]) -> None:
        """Write rows, each id once. It raises `RowsRejected` too, and then some of them may have been written."""

    def delete(self, keys: Mapping[int, int]) -> None:
        """Delete rows by primary key, given with their companies."""

    def search(
        self, vectors: Sequence[bytes], *, company_id: int | None, limit: int, max_distance: int | None, fresh: bool
    ) -> Sequence[Sequence[Hit]]:
        """Find the rows nearest to each vector, in one call. `company_id` None looks through all tenants."""

    def counts(self) -> Mapping[str, int]:
        """The number of rows of each of our collections."""


class Recent(Protocol):
    """Rows written a moment ago, which a read of the index may not show yet. Its methods raise `Transient`."""

    def get(self, ids: Iterable[int]) -> Mapping[int, Row]:
        """Read what is remembered; ids that are not are left out."""

    def put(self, rows: Sequence[Row]) -> None:
        """Remember rows that are durable."""

    def forget(self, ids: Iterable[int]) -> None:
        """Forget rows that are being deleted."""


class RowWriter(Protocol):
    """Writes rows and returns when they are durable."""

    def write(self, rows: Sequence[Row], deadline: float) -> Mapping[int, Permanent]:
        """Write, or raise `Transient`, `Misconfigured`. A deadline is a value of `time.monotonic()`.

        Returns:
            Why a row is refused, by its id. The others are durable; all of them, where this is empty.
        """
