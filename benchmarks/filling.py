"""Fills a collection with rows like the product's, as fast as Milvus takes them."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import numpy as np
from pymilvus import MilvusClient
from rich.console import Console

from contract import row_id
from worker.adapters.milvus import MilvusIndex
from worker.core import hashing
from worker.core.schema import VECTOR_FIELD, partition_name
from worker.settings import WorkerSettings

# Milvus takes messages of 64 MB; larger upserts gain nothing (49 k rows a second were measured with these).
_ROWS_AT_ONCE: Final = 20_000
_BYTES: Final = hashing.BITS // 8
_INDEXED_AT: Final = 1_750_000_000_000


def fill(
    settings: WorkerSettings, rows: int, *, companies: int, seed: int = 0, console: Console | None = None
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Make the collection as a worker does, fill it, and have Milvus seal its segments.

    Args:
        settings: the collection, and where it is.
        rows: how many. Row n is the picture `n // companies + 1` of the company `n % companies + 1`.
        companies: tenants, each with as many rows as the others, or one more.
        seed: of the vectors.
        console: shows how far it is.

    Returns:
        The vectors, uint8 of shape (rows, 8), row n in line n.
    """
    with closing(MilvusIndex(settings, profile=settings.hash, bits=hashing.BITS)) as index:
        index.lookup({0: 0})
    made = vectors(rows, seed)
    client = MilvusClient(settings.milvus_uri, token=settings.milvus_token, timeout=settings.milvus_timeout)
    written = 0
    with closing(client), (console or Console(quiet=True)).status("") as status:
        for partition, batch in batches(made, companies, settings.partitions):
            client.upsert(index.collection, batch, partition_name=partition, timeout=settings.milvus_timeout)
            written += len(batch)
            status.update(f"{index.collection}: {written:,} of {rows:,} rows")
        status.update(f"{index.collection}: sealing")
        client.flush(index.collection, timeout=None)
    return made


def vectors(rows: int, seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Random hashes, uint8 of shape (rows, 8): the bits of a picture's hash are about as evenly spread."""
    return np.random.default_rng(seed).integers(0, 256, (rows, _BYTES), dtype=np.uint8)


def batches(
    made: np.ndarray[Any, np.dtype[np.uint8]], companies: int, partitions: int, *, size: int = _ROWS_AT_ONCE
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Give the rows, partition by partition, as upserts of at most `size` rows: each a partition's name and its rows.

    Args:
        made: the vectors, of shape (rows, 8).
        companies: as of `fill`.
        partitions: of the collection.
        size: rows in an upsert at the most.
    """
    numbers = np.arange(len(made))
    of_rows = (numbers % companies + 1) % partitions
    for partition in range(partitions):
        mine = numbers[of_rows == partition]
        for first in range(0, len(mine), size):
            yield partition_name(partition), [_row(int(n), companies, made[n]) for n in mine[first : first + size]]


def _row(number: int, companies: int, vector: np.ndarray[Any, np.dtype[np.uint8]]) -> dict[str, Any]:
    meta_id, company_id = number // companies + 1, number % companies + 1
    return {
        "id": row_id(company_id, meta_id),
        "meta_id": meta_id,
        "company_id": company_id,
        VECTOR_FIELD: vector.tobytes(),
        "object_key": f"companies/{company_id}/pictures/{meta_id}.jpg",
        "content_crc": number,
        "indexed_at": _INDEXED_AT,
    }
