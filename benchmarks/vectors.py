"""A collection of random vectors: the product's own collection, filled as fast as Milvus takes rows."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pymilvus import MilvusClient

from contract import LookalikeError, row_id
from worker.adapters.milvus import MilvusConnection, MilvusIndex
from worker.core.fingerprints import vector_key
from worker.core.hashing import BITS
from worker.core.schema import VECTOR_FIELD, VECTOR_KEY_FIELD, partition_name
from worker.settings import WorkerSettings
from worker.testing import make_row

TENANTS: Final = 50
PARTITIONS: Final = 16
_CHUNK: Final = 20_000
_STEADY_SECONDS: Final = 12.0
_SETTLE_SECONDS: Final = 1800.0
_CALL_SECONDS: Final = 300
_INDEXED_AT: Final = 1_750_000_000_000


class NotSettled(LookalikeError):
    """Milvus did not come to rest: what would be measured is its own work."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """Rows of random bits, which are about as evenly spread as those of hashes.

    Row n has the `meta_id` n, and belongs to the company n % 50.

    Attributes:
        bits: uint8 of shape (rows, 8), the packed vectors.
    """

    bits: NDArray[np.uint8]

    @classmethod
    def random(cls, rows: int, seed: int = 1) -> "Vectors":
        """Make so many rows, the same for the same seed; fewer rows are the first of more."""
        return cls(np.random.default_rng(seed).integers(0, 256, (rows, BITS // 8), dtype=np.uint8))

    def first(self, rows: int) -> "Vectors":
        """Leave out all but the first rows."""
        return Vectors(self.bits[:rows])

    def of_company(self, company_id: int) -> NDArray[np.uint8]:
        """The vectors of one tenant, in the order of their ids."""
        return self.bits[company_id::TENANTS]


def collection(settings: WorkerSettings) -> str:
    """Make the collection as a worker does, and name it."""
    with closing(MilvusConnection(settings)) as connection:
        index = MilvusIndex(connection, settings, settings.profiles[0])
        nobodys = make_row(0)
        index.upsert([nobodys])
        index.delete({nobodys.id: nobodys.company_id})
        return index.collection


def fill(client: MilvusClient, name: str, vectors: Vectors, begin: int, progress: Callable[[int], None]) -> None:
    """Upsert the rows from number `begin` on, then wait until Milvus is at rest."""
    for start in range(begin, len(vectors.bits), _CHUNK * PARTITIONS):
        stop = min(start + _CHUNK * PARTITIONS, len(vectors.bits))
        for partition in range(PARTITIONS):
            if rows := list(rows_of(vectors, start, stop, partition)):
                client.upsert(name, rows, partition_name=partition_name(partition), timeout=_CALL_SECONDS)
        progress(stop)
    client.flush(name, timeout=_CALL_SECONDS)
    settle(client, name, len(vectors.bits))


def settle(client: MilvusClient, name: str, rows: int) -> None:
    """Wait until every row is in a sealed segment, and the segments have been the same for 12 s.

    Until then Milvus compacts and indexes in the background, and a search takes many times as long.

    Raises:
        NotSettled: after half an hour.
    """
    deadline = time.monotonic() + _SETTLE_SECONDS
    seen: frozenset[int] = frozenset()
    since = time.monotonic()
    while time.monotonic() < deadline:
        loaded = client.list_loaded_segments(name)
        found = frozenset(segment.segment_id for segment in loaded if segment.state_name == "Sealed")
        whole = len(found) == len(loaded) and sum(segment.num_rows for segment in loaded) == rows
        if not whole or found != seen:
            seen, since = found, time.monotonic()
        elif time.monotonic() - since >= _STEADY_SECONDS:
            return
        time.sleep(0.5)
    raise NotSettled(f"{name}: segments still change")


def rows_of(vectors: Vectors, start: int, stop: int, partition: int) -> Iterator[dict[str, object]]:
    """Make the rows `start` to `stop` (exclusive) that belong in a partition, as Milvus takes them."""
    for company_id in range(partition, TENANTS, PARTITIONS):
        for n in range(start + (company_id - start) % TENANTS, stop, TENANTS):
            vector = vectors.bits[n].tobytes()
            yield {
                "id": row_id(company_id, n),
                "meta_id": n,
                "company_id": company_id,
                VECTOR_FIELD: vector,
                VECTOR_KEY_FIELD: vector_key(vector),
                "object_key": f"uploads/{company_id}/{n}/photo.jpg",
                "content_crc": n,
                "indexed_at": _INDEXED_AT,
                "quality": 100,
                "width": 640,
                "height": 480,
            }
