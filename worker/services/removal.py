"""Taking pictures out of the index."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from contract import Item, UploadEvent, row_id
from worker.core.errors import Transient
from worker.ports import Claims, Row, VectorIndex


class Removal:
    """Deletes rows. Meanwhile no attempt at ingesting these pictures begins, and none that is under way is the last."""

    def __init__(
        self,
        index: VectorIndex,
        claims: Claims,
        *,
        delete_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Delete from an index.

        Args:
            index: the index.
            claims: on its pictures.
            delete_seconds: within which a delete of one company's rows has ended.
            monotonic: the clock of the locks.
        """
        self._index = index
        self._claims = claims
        self._delete_seconds = delete_seconds
        self._monotonic = monotonic

    def __call__(self, items: Sequence[Item]) -> int:
        """Delete the rows of these pictures.

        The fresh read counts what is there, Milvus counting only what it was asked for, and keeps a row that has the
        same primary key but is another picture's.

        Returns:
            How many rows there were.

        Raises:
            Transient, Misconfigured: Milvus failed or refuses, or another delete of one of them is under way. To delete
                again is harmless.
        """
        wanted = {row_id(item.company_id, item.meta_id): item for item in items}
        return self._delete(
            {id_: item.company_id for id_, item in wanted.items()},
            lambda row: (row.company_id, row.meta_id) == (wanted[row.id].company_id, wanted[row.id].meta_id),
        )

    def of_gone_objects(self, events: Sequence[UploadEvent], is_gone: Callable[[str], bool]) -> int:
        """Delete the rows of pictures whose objects are gone.

        An object is looked at after its picture was locked, so an upload of the same key that has ended by then is
        seen, and one that ends later is tried again.

        Args:
            events: that name pictures and their objects. A row of another object stays.
            is_gone: whether an object is gone. It is asked only for those that a row names.

        Returns:
            How many rows there were.

        Raises:
            Transient, Misconfigured: as above.
        """
        named = {(event.company_id, event.meta_id, event.object_key) for event in events}
        return self._delete(
            {row_id(event.company_id, event.meta_id): event.company_id for event in events},
            lambda row: (row.company_id, row.meta_id, row.object_key) in named and is_gone(row.object_key),
        )

    def withdraw(self, row: Row) -> None:
        """Delete a row, if the index has just this one and no later one of the picture.

        Raises:
            Transient, Misconfigured: as above.
        """
        self._delete({row.id: row.company_id}, lambda stored: stored == row)

    def _delete(self, keys: Mapping[int, int], ours: Callable[[Row], bool]) -> int:
        by_company: dict[int, dict[int, int]] = defaultdict(dict)
        with self._claims.lock(keys) as until:
            stored = self._index.lookup(keys, fresh=True)
            for row in filter(ours, stored.values()):
                by_company[row.company_id][row.id] = row.company_id
            for rows in by_company.values():
                # A delete that outlives the lock could take the row of an event that came after it.
                if self._monotonic() + self._delete_seconds > until:
                    raise Transient("the lock on the pictures ends too soon to delete their rows")
                self._index.delete(rows)
        return sum(map(len, by_company.values()))
