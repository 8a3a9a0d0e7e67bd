"""A second look at what a search found, by a hash of 256 bits."""

from collections.abc import Callable, Mapping, Sequence

from contract import InvalidMessage, Orientation
from worker.core.verifying import Looked, Verdict, verdict
from worker.ports import Hit, Row, VectorIndex
from worker.services.queries import Asked

Orientations = Callable[[bytes], Mapping[Orientation, bytes]]


class Verification:
    """Looks again at matches, in all eight orientations of the query's picture."""

    def __init__(self, index: VectorIndex, orientations: Orientations, search_orientations: Orientations) -> None:
        """Look again.

        Args:
            index: the rows with the hashes of 256 bits.
            orientations: such hashes of a picture, in each orientation.
            search_orientations: the same by the profile that is searched.
        """
        self._index = index
        self._orientations = orientations
        self._search_orientations = search_orientations

    def vectors(self, asked: Asked) -> Sequence[bytes]:
        """What is to be searched for, so that turned copies are found too: the query as it is first."""
        return list(dict.fromkeys([asked.vector, *self._search_orientations(_body(asked)).values()]))

    def __call__(self, asked: Asked, hits: Sequence[Hit], *, fresh: bool) -> list[Verdict]:
        """Say what each hit is. `fresh`, as the search was, sees what was written just before."""
        vectors = self._orientations(_body(asked))
        turned = {orientation: int.from_bytes(vector, "big") for orientation, vector in vectors.items()}
        rows = self._index.lookup({hit.id: hit.company_id for hit in hits}, fresh=fresh)
        looked = Looked(asked.crc, asked.size)
        return [self._verdict(looked, turned, rows.get(hit.id)) for hit in hits]

    @staticmethod
    def _verdict(looked: Looked, turned: Mapping[Orientation, int], row: Row | None) -> Verdict:
        if row is None:
            return verdict(looked, Looked(None, None), None)
        stored = int.from_bytes(row.vector, "big")
        distances = {orientation: (vector ^ stored).bit_count() for orientation, vector in turned.items()}
        return verdict(looked, Looked(row.content_crc, (row.width, row.height)), distances)


def _body(asked: Asked) -> bytes:
    if asked.body is None:
        raise InvalidMessage("verify: there is no picture to look at")
    return asked.body
