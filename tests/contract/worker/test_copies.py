"""Ten thousand blank pictures, and ten thousand copies of one, among as many others: what else is near is found."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from contract import PROFILES
from worker.adapters.milvus import MilvusConnection, MilvusIndex
from worker.core.fingerprints import Hash, vector_key
from worker.ports import Row, Scope
from worker.services.nearest import nearest_vectors
from worker.settings import WorkerSettings
from worker.testing import hamming, make_row

AHASH = PROFILES["ahash"]
MANY = 10_000
BLANK = bytes(8)
BANNER = b"\xf0" * 8


@pytest.fixture
def index(settings: WorkerSettings) -> Iterator[MilvusIndex]:
    """An empty index."""
    with closing(MilvusConnection(settings)) as connection:
        yield MilvusIndex(connection, settings, AHASH)


def blank(n: int) -> Row:
    """A picture without content."""
    return replace(make_row(n), hashes=(Hash("ahash", BLANK, 0),))


def others() -> list[Row]:
    """Pictures of all kinds: some with few bits, and so near to blank ones, some near to the banner."""
    random = np.random.default_rng(5)
    sparse = np.packbits(random.random((MANY, 64)) < random.random((MANY, 1)) * 0.6, axis=1)
    return [make_row(MANY + n, vector=vector.tobytes(), indexed_at=n) for n, vector in enumerate(sparse)]


def expected(rows: list[Row], query: bytes, limit: int) -> list[tuple[int, bytes, int]]:
    """Distance, vector and count of the nearest vectors, by looking at every row; ties in no order."""
    counts: dict[bytes, int] = {}
    for row in rows:
        counts[row.vector] = counts.get(row.vector, 0) + 1
    nearest = sorted((hamming(query, vector), vector, count) for vector, count in counts.items())
    furthest = nearest[limit - 1][0]
    return [one for one in nearest if one[0] < furthest]


def test_ten_thousand_blank_pictures_are_in_nobodys_way(index: MilvusIndex) -> None:
    """They are stored, left out of matches, and one match where they are asked for."""
    rows = others()
    index.upsert([blank(n) for n in range(MANY)])
    index.upsert(rows)
    queries = [BLANK, rows[0].vector, b"\x01" + bytes(7)]
    scope = Scope(1, fresh=True)
    for query, found in zip(queries, nearest_vectors(index, queries, scope, 20, 3), strict=True):
        assert len(found) == 20
        wanted = expected(rows, query, 20)
        assert {(one.hit.distance, one.hit.vector_key, one.count) for one in found} >= {
            (distance, vector_key(vector), count) for distance, vector, count in wanted
        }
        assert all(one.hit.quality == 100 for one in found)
    (everything,) = nearest_vectors(index, [BLANK], scope._replace(low_quality=True), 20, 3)
    blanks = MANY + sum(row.vector == BLANK for row in rows)
    assert (everything[0].hit.distance, everything[0].count) == (0, blanks)
    assert len(everything) == 20
    assert everything[1].hit.distance == 1


def test_ten_thousand_copies_are_one_match(index: MilvusIndex) -> None:
    """With their count, the first that was indexed, and pages of members; what is near them follows."""
    copies = [make_row(n, vector=BANNER, indexed_at=n * 7919 % MANY) for n in range(MANY)]
    rows = others()
    index.upsert(copies)
    index.upsert(rows)
    scope = Scope(1, fresh=True)
    (found,) = nearest_vectors(index, [BANNER], scope, 10, 5)
    assert (found[0].hit.distance, found[0].count, found[0].hit.meta_id) == (0, MANY, 0)
    assert [member.id for member in found[0].members] == sorted(row.id for row in copies)[:5]
    wanted = expected([*copies, *rows], BANNER, 10)
    assert [one.hit.distance for one in found][: len(wanted)] == [distance for distance, _, _ in wanted]
    read: list[int] = []
    while page := index.of_vector(scope, vector_key(BANNER), read[-1] if read else -1, 3000):
        read += [row.id for row in page]
    assert read == sorted(row.id for row in copies)
