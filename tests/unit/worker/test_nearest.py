"""Rows of equal vectors as one, however many they are, and what else is near."""

import itertools
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.core.fingerprints import LOW_QUALITY, Hash, vector_key
from worker.ports import Hit, Row, Scope
from worker.services import nearest
from worker.services.nearest import Found, nearest_vectors
from worker.testing import MemoryIndex, hamming, make_row

MOST = 40
QUERY = bytes(8)


class Milvus(MemoryIndex):
    """An index that returns at most 40 rows, of equal distances those with the largest ids."""

    def __init__(self, rows: Sequence[Row]) -> None:
        super().__init__({row.id: row for row in rows})
        self.asked: list[int] = []
        self.read = 0

    def search(
        self, vectors: Sequence[bytes], scope: Scope, limit: int, without: Collection[int] = ()
    ) -> Sequence[Sequence[Hit]]:
        """Find rows."""
        assert limit <= MOST
        self.asked.append(len(vectors))
        found = super().search(vectors, scope, 10**6, without)
        return [sorted(hits, key=lambda hit: (hit.distance, -hit.id))[:limit] for hits in found]

    def of_vector(self, scope: Scope, vector_key: int, after: int, limit: int) -> list[Hit]:
        """Read the rows of a vector."""
        self.read += 1
        return super().of_vector(scope, vector_key, after, limit)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "MOST", MOST)
    monkeypatch.setattr(nearest, "_SPARE", 5)


def bits(number: int) -> bytes:
    """A vector with so many ones."""
    return bytes.fromhex(f"{2**number - 1:016x}")


def indexed(vectors: Sequence[bytes]) -> list[Row]:
    """Rows with these vectors, indexed in an order that is not that of their ids."""
    return [make_row(n, vector=vector, indexed_at=n * 7919 % 101) for n, vector in enumerate(vectors)]


def brute_force(rows: Sequence[Row], limit: int, max_distance: int | None = None) -> list[tuple[int, int, int]]:
    """Distance, id and count of the nearest vectors, by looking at every row."""
    groups: dict[bytes, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.vector].append(row)
    found = []
    for vector, same in groups.items():
        first = min(same, key=lambda row: (row.indexed_at, row.id))
        found.append((hamming(QUERY, vector), first.id, len(same)))
    return [one for one in sorted(found) if max_distance is None or one[0] <= max_distance][:limit]


def summary(found: Sequence[Found]) -> list[tuple[int, int, int]]:
    """The same of what was found."""
    return [(one.hit.distance, one.hit.id, one.count) for one in found]


COPIES = st.lists(st.integers(0, 6), max_size=60).map(lambda ones: [bits(n) for n in ones])
ROTATED = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 7)).map(lambda at: bytes([1 << at[1] if at[0] else 0]) + bytes(7)),
    max_size=30,
)


@settings(max_examples=200)
@given(COPIES, ROTATED, st.integers(1, 12), st.one_of(st.none(), st.integers(0, 6)))
def test_it_is_a_brute_force_search(
    copies: list[bytes], ties: list[bytes], limit: int, max_distance: int | None
) -> None:
    """Copies and ties of whatever number: the same vectors, their counts, and the row of each that was first."""
    rows = indexed([*copies, *ties])
    (found,) = nearest_vectors(Milvus(rows), [QUERY], Scope(1, max_distance=max_distance), limit, 5)
    assert summary(found) == brute_force(rows, limit, max_distance)


def test_thousands_of_copies_hide_nothing() -> None:
    """Two vectors fill every answer several times over, and the third nearest is found."""
    rows = indexed([bits(0)] * 100 + [bits(1)] * 130 + [bits(5)] * 2 + [bits(9)])
    index = Milvus(rows)
    (found,) = nearest_vectors(index, [QUERY], Scope(1), 4, 3)
    # Of more than can be read at once all are counted, and the first is the first of those that were read.
    assert [(one.hit.distance, one.count) for one in found] == [(0, 100), (1, 130), (5, 2), (9, 1)]
    assert all(len(one.members) == min(3, one.count) for one in found)
    assert found[0].members[0].id == min(row.id for row in rows if row.vector == bits(0))


def test_the_usual_search_is_one_call() -> None:
    """Few copies, a limit below the number of vectors: nothing is asked twice, and nothing read."""
    index = Milvus(indexed([bits(n) for n in range(30)] + [bits(2)] * 2))
    results = nearest_vectors(index, [QUERY, bits(1), bits(2)], Scope(1), 5, 10)
    assert [len(found) for found in results] == [5, 5, 5]
    assert index.asked == [3]
    assert index.read == 0


def test_members_are_in_the_order_of_their_ids() -> None:
    """As many as are wanted, the match itself among them or not."""
    rows = indexed([bits(3)] * 8)
    (found,) = nearest_vectors(Milvus(rows), [QUERY], Scope(1), 5, 4)
    assert [member.id for member in found[0].members] == sorted(row.id for row in rows)[:4]
    assert found[0].hit.id == brute_force(rows, 1)[0][1]
    (none,) = nearest_vectors(Milvus(rows), [QUERY], Scope(1), 5, 0)
    assert none[0].members == []


def test_copies_of_low_quality_are_counted_only_where_they_are_asked_for() -> None:
    """A blank and a picture may have the same vector."""
    good = indexed([bits(0)] * 60)
    blank = [replace(row, id=row.id + 1, hashes=(Hash("ahash", bits(0), LOW_QUALITY - 1),)) for row in good]
    for wanted, expected in ((False, 60), (True, 120)):
        (found,) = nearest_vectors(Milvus([*good, *blank]), [QUERY], Scope(1, low_quality=wanted), 3, 0)
        assert [one.count for one in found] == [expected]


def test_nothing_is_nothing() -> None:
    """An empty index, or nothing near enough."""
    assert nearest_vectors(Milvus([]), [QUERY], Scope(1), 3, 3) == [[]]
    assert nearest_vectors(Milvus(indexed([bits(9)])), [QUERY], Scope(1, max_distance=8), 3, 3) == [[]]


def test_of_thousands_at_one_distance_only_what_is_returned_is_read() -> None:
    """More different vectors than an answer holds, all as far: each read is a call, and a search has seconds."""
    pairs = (sum(1 << bit for bit in two) for two in itertools.combinations(range(64), 2))
    index = Milvus(indexed([pair.to_bytes(8) for pair in pairs] + [bits(1)]))
    (found,) = nearest_vectors(index, [QUERY], Scope(1), 4, 3)
    assert [(one.hit.distance, one.count) for one in found] == [(1, 1), (2, 1), (2, 1), (2, 1)]
    assert index.read <= 4


class Vanishing(Milvus):
    """An index from which a vector's rows are deleted just before they are read."""

    def of_vector(self, scope: Scope, vector_key: int, after: int, limit: int) -> list[Hit]:
        """Delete the rows of a vector."""
        self.rows = {id_: row for id_, row in self.rows.items() if key_of(row) != vector_key}
        return super().of_vector(scope, vector_key, after, limit)


def key_of(row: Row) -> int:
    """The key of a row's vector."""
    return vector_key(row.vector)


def test_what_is_deleted_during_a_search_is_left_out() -> None:
    """Between the search and the reading of its copies; the others are found."""
    rows = indexed([bits(0)] * 60 + [bits(n) for n in range(1, 6)])
    (found,) = nearest_vectors(Vanishing(rows), [QUERY], Scope(1), 5, 3)
    assert [(one.hit.distance, one.count) for one in found] == [(1, 1), (2, 1), (3, 1), (4, 1)]
