"""The rows of all profiles as one index: what ingest and deletes work on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from worker.adapters.milvus.index import MilvusIndex
from worker.ports import Row


class ProfiledIndex:
    """One collection for each profile. A row is written to all of them, and read as one where they agree."""

    def __init__(self, indexes: Sequence[MilvusIndex]) -> None:
        self._indexes = indexes

    def lookup(self, keys: Mapping[int, int], *, fresh: bool = False) -> Mapping[int, Row]:
        """Read rows by primary key.

        A row has the hashes of those collections that hold the same of it as the one that was written last. It lacks
        those of the others: of a profile that is new, or whose write failed.
        """
        found = [index.lookup(keys, fresh=fresh) for index in self._indexes]
        merged: dict[int, Row] = {}
        for id_ in keys:
            if rows := [rows[id_] for rows in found if id_ in rows]:
                merged[id_] = _merged(rows)
        return merged

    def upsert(self, rows: Sequence[Row]) -> None:
        """Write rows to one collection after the other."""
        for index in self._indexes:
            index.upsert(rows)

    def delete(self, keys: Mapping[int, int]) -> None:
        """Delete rows from all collections."""
        for index in self._indexes:
            index.delete(keys)


def _merged(rows: Sequence[Row]) -> Row:
    last = max(rows, key=lambda row: row.indexed_at)
    return replace(
        last, hashes=tuple(one for row in rows if replace(row, hashes=last.hashes) == last for one in row.hashes)
    )
