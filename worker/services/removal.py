"""Taking pictures out of the index."""

from collections.abc import Sequence

from contract import Item, row_id
from worker.ports import Recent, VectorIndex


class Removal:
    """Deletes rows by their application's ids."""

    def __init__(self, index: VectorIndex, recent: Recent) -> None:
        self._index = index
        self._recent = recent

    def __call__(self, items: Sequence[Item]) -> int:
        """Delete the rows of these pictures.

        The fresh read counts what is there, Milvus counting only what it was asked for, and keeps a row that has the
        same primary key but is another picture's.

        Returns:
            How many rows there were.

        Raises:
            Transient, Misconfigured: Milvus failed or refuses. To delete again is harmless.
        """
        wanted = {row_id(item.company_id, item.meta_id): item for item in items}
        stored = self._index.lookup({id_: item.company_id for id_, item in wanted.items()}, fresh=True)
        ours = {
            id_: row.company_id
            for id_, row in stored.items()
            if (row.company_id, row.meta_id) == (wanted[id_].company_id, wanted[id_].meta_id)
        }
        if ours:
            self._recent.forget(ours)
            self._index.delete(ours)
        return len(ours)
