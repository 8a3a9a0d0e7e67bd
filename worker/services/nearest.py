"""The rows nearest to a vector, and those of equal vectors as one."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from worker.ports import Hit, Scope, SearchableIndex

# Milvus returns at most so many rows for a query: "Milvus Limits", topK.
MOST: Final = 16_384
# Rows asked for beyond the limit, so that most ties at the limit are seen whole in the first call.
_SPARE: Final = 50
_GROW: Final = 4
# A vector that fills so much of an answer is left out of the next one.
_HEAVY_SHARE: Final = 16


@dataclass(frozen=True, slots=True)
class Found:
    """A vector that was found, and its rows.

    Attributes:
        hit: the row of it that was indexed first.
        count: how many rows have it.
        members: rows of it, by their ids, from the least one on; all of them where they were seen.
    """

    hit: Hit
    count: int
    members: Sequence[Hit]


def nearest_rows(index: SearchableIndex, vectors: Sequence[bytes], scope: Scope, limit: int) -> list[list[Hit]]:
    """Search for the rows nearest to each vector, all in one call.

    Milvus cuts off anywhere within rows of equal distance. Where the limit falls among such, the query is asked again
    for more, until the next distance is in sight: so the same rows come back every time, up to Milvus' own limit of
    16,384 rows.
    """
    nearest: dict[int, list[Hit]] = {}
    pending = dict(enumerate(vectors))
    most = min(limit + _SPARE, MOST)
    while pending:
        found = index.search(list(pending.values()), scope, most)
        for n, hits in zip(list(pending), found, strict=True):
            ordered = sorted(hits)
            if most >= MOST or not _cut_among_ties(ordered, limit, most):
                nearest[n] = ordered[:limit]
                del pending[n]
        most = min(most * _GROW, MOST)
    return [nearest[n] for n in range(len(vectors))]


def nearest_vectors(
    index: SearchableIndex, vectors: Sequence[bytes], scope: Scope, limit: int, members: int
) -> list[list[Found]]:
    """Search for the rows nearest to each vector, those of equal vectors as one: `limit` such, and `members` of each.

    However many copies there are, what else is near is found: vectors that fill an answer are left out of the next one.
    Equal distances are in the order of the rows' ids, and searched whole, as `nearest_rows` does.
    """
    first = min(limit + _SPARE, MOST)
    answers = [_Answer(limit) for _ in vectors]
    for answer, hits in zip(answers, index.search(vectors, scope, first), strict=True):
        answer.add(hits, first)
    for vector, answer in zip(vectors, answers, strict=True):
        most = first
        while not answer.is_whole:
            most = min(most * _GROW, MOST)
            (hits,) = index.search([vector], scope, most, answer.heavy)
            answer.add(hits, most)
    return [answer.found(index, scope, members) for answer in answers]


@dataclass(slots=True)
class _Answer:
    """What is known of a query's nearest vectors.

    Attributes:
        limit: how many of them are wanted.
        rows: that were seen, by the keys of their vectors.
        distances: of these vectors, by the same.
        heavy: keys of vectors that are left out of further calls.
        cut: the distance at which the last call was cut off; None where it had all.
        is_whole: whether nothing more is to be asked.
    """

    limit: int
    rows: dict[int, dict[int, Hit]] = field(default_factory=lambda: defaultdict(dict))
    distances: dict[int, int] = field(default_factory=dict)
    heavy: set[int] = field(default_factory=set)
    cut: int | None = None
    is_whole: bool = False

    def add(self, hits: Sequence[Hit], asked: int) -> None:
        """Take in an answer to a call for so many rows."""
        for hit in hits:
            self.rows[hit.vector_key][hit.id] = hit
            self.distances[hit.vector_key] = hit.distance
        self.cut = max(hit.distance for hit in hits) if len(hits) == asked else None
        within = sum(self.cut is None or distance < self.cut for distance in self.distances.values())
        self.is_whole = self.cut is None or within >= self.limit
        if self.is_whole:
            return
        seen: dict[int, int] = defaultdict(int)
        for hit in hits:
            seen[hit.vector_key] += 1
        filling = {key for key, number in seen.items() if number * _HEAVY_SHARE >= asked}
        self.heavy |= filling
        # Thousands of different vectors at one distance: no more can be told apart.
        self.is_whole = asked >= MOST and not filling

    def found(self, index: SearchableIndex, scope: Scope, members: int) -> list[Found]:
        """The nearest vectors, with their rows; what was not seen of them is read."""
        found = [
            _read(index, scope, key, self.distances[key], members) if self._is_partial(key) else _seen(self.rows[key])
            for key in self._near()
        ]
        there = [one for one in found if one is not None]
        nearest = sorted(there, key=lambda one: (one.hit.distance, one.hit.id))[: self.limit]
        return [Found(one.hit, one.count, one.members[:members]) for one in nearest]

    def _near(self) -> list[int]:
        """The vectors as near as the last one within the limit, by their keys.

        Where the answers ended among those, they were not all seen. Then there is no telling which come first, and no
        more of them are taken than are wanted, for each is to be read.
        """
        ordered = sorted(self.distances, key=lambda key: (self.distances[key], min(self.rows[key])))
        last = ordered[: self.limit][-1:]
        if not last or self.distances[last[0]] == self.cut:
            return ordered[: self.limit]
        return [key for key in ordered if self.distances[key] <= self.distances[last[0]]]

    def _is_partial(self, key: int) -> bool:
        """Whether a vector may have rows that were not seen."""
        return key in self.heavy or self.distances[key] == self.cut


def _seen(rows: Mapping[int, Hit]) -> Found:
    ordered = [rows[id_] for id_ in sorted(rows)]
    return Found(_first(ordered), len(ordered), ordered)


def _read(index: SearchableIndex, scope: Scope, key: int, distance: int, members: int) -> Found | None:
    """Read the rows of a vector; None where they were deleted since they were found.

    Of over 16,384 the first are read, by their ids, and the others counted.
    """
    hits = index.of_vector(scope, key, -1, MOST)
    if not hits:
        return None
    count = len(hits) if len(hits) < MOST else index.count_of_vector(scope, key)
    first, *named = (hit._replace(distance=distance) for hit in (_first(hits), *hits[:members]))
    return Found(first, count, named)


def _first(hits: Sequence[Hit]) -> Hit:
    return min(hits, key=lambda hit: (hit.indexed_at, hit.id))


def _cut_among_ties(ordered: Sequence[Hit], limit: int, asked: int) -> bool:
    """Whether rows as near as the last one within the limit may have been left out."""
    return len(ordered) == asked and ordered[-1].distance == ordered[limit - 1].distance
