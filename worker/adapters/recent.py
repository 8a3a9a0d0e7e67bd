"""Rows written a moment ago, remembered in the ledger's Redis.

Milvus shows a row to a Bounded read only seconds after it acknowledged it, and a Strong read costs 0.3 s. Upload events
are often repeated within that time; this is how the repeat finds that its object is unchanged.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from typing import Final, cast

import redis

from worker.core.errors import Transient
from worker.ports import Row

# Bounded staleness is 5 s unless Milvus is configured otherwise ("common.gracefulTime").
_SECONDS: Final = 60


class RecentRows:
    """The rows of one collection that were written in the last minute, by any worker."""

    def __init__(self, connection: redis.Redis, *, collection: str) -> None:
        self._redis = connection
        self._prefix: Final = f"{{lookalike}}:row:{collection}:"

    def get(self, ids: Iterable[int]) -> Mapping[int, Row]:
        """Read what is remembered; ids that are not are left out."""
        keys = [self._prefix + str(id_) for id_ in ids]
        try:
            found = cast("list[str | None]", self._redis.mget(keys)) if keys else []
        except redis.RedisError as error:
            raise _transient(error) from error
        rows = (_load(text) for text in found if text is not None)
        return {row.id: row for row in rows}

    def put(self, rows: Sequence[Row]) -> None:
        """Remember rows that Milvus has acknowledged."""
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for row in rows:
                    pipeline.set(self._prefix + str(row.id), _dump(row), ex=_SECONDS)
                pipeline.execute()
        except redis.RedisError as error:
            raise _transient(error) from error

    def forget(self, ids: Iterable[int]) -> None:
        """Forget rows that are being deleted."""
        keys = [self._prefix + str(id_) for id_ in ids]
        try:
            if keys:
                self._redis.delete(*keys)
        except redis.RedisError as error:
            raise _transient(error) from error


def _transient(error: redis.RedisError) -> Transient:
    return Transient(f"the ledger's Redis: {type(error).__name__}: {error}")


def _dump(row: Row) -> str:
    return json.dumps([value.hex() if isinstance(value, bytes) else value for value in astuple(row)])


def _load(text: str) -> Row:
    id_, meta_id, company_id, vector, object_key, content_crc, indexed_at = json.loads(text)
    return Row(id_, meta_id, company_id, bytes.fromhex(vector), object_key, content_crc, indexed_at)
