"""What the services expect of a vector index holds for Milvus and for the in-memory double alike."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest

from contract import PROFILES
from worker.adapters.milvus import MilvusConnection, MilvusIndex
from worker.core.errors import RowsRejected
from worker.core.fingerprints import LOW_QUALITY, Hash, vector_key
from worker.ports import Hit, Row, Sample, Scope, SearchableIndex
from worker.services.writer import GroupWriter
from worker.settings import WorkerSettings
from worker.testing import MemoryIndex, hamming, make_row

AHASH = PROFILES["ahash"]


@pytest.fixture(params=["memory", "milvus"])
def index(request: pytest.FixtureRequest) -> Iterator[SearchableIndex]:
    """An empty index."""
    if request.param == "memory":
        yield MemoryIndex()
        return
    settings = request.getfixturevalue("settings")
    with closing(MilvusConnection(settings)) as connection:
        yield MilvusIndex(connection, settings, AHASH)


def row(meta_id: int, company_id: int = 1, *, vector: bytes = bytes(8), key: str = "a.jpg") -> Row:
    """A row with the largest numbers where they fit."""
    return make_row(meta_id, company_id, vector=vector, object_key=key, content_crc=-meta_id % 2**64)


def keys(*rows: Row) -> dict[int, int]:
    """How rows are asked for."""
    return {one.id: one.company_id for one in rows}


def test_rows_come_back_as_they_were_written(index: SearchableIndex) -> None:
    """Every field survives: extreme ids, an unsigned checksum, any vector, a key of 1,023 bytes."""
    rows = [
        row(-(2**63), 2**63 - 1, vector=bytes(range(8))),
        row(2**63 - 1, -(2**63), vector=b"\xff" * 8),
        row(0, 0, key="图片/ +%/" + "é" * 500),
    ]
    index.upsert(rows)
    assert index.lookup(keys(*rows), fresh=True) == {one.id: one for one in rows}


def test_what_is_not_there_is_left_out(index: SearchableIndex) -> None:
    """A lookup of nothing is empty, and of unknown ids too."""
    assert index.lookup({}) == {}
    assert index.lookup({5: 1, 6: 2}, fresh=True) == {}


def test_an_upsert_replaces(index: SearchableIndex) -> None:
    """Writing an id again leaves one row, the last."""
    index.upsert([row(1), row(2)])
    index.upsert([row(1, vector=b"\x01" * 8, key="b.jpg")])
    found = index.lookup(keys(row(1), row(2)), fresh=True)
    assert found[row(1).id] == row(1, vector=b"\x01" * 8, key="b.jpg")
    (hits,) = index.search([bytes(8)], Scope(1, fresh=True), 10)
    assert sorted(hit.meta_id for hit in hits) == [1, 2]


@pytest.mark.parametrize(
    "bad",
    [
        row(7, key="x" * 1025),
        row(7, key="é" * 513),
        row(7, vector=bytes(7)),
        row(7, vector=bytes(16)),
        row(7, vector=b""),
    ],
    ids=["long key", "long key in bytes", "short vector", "double vector", "no vector"],
)
def test_a_bad_row_is_found_among_good_ones(index: SearchableIndex, bad: Row) -> None:
    """The upsert is refused for what is in it; the group commit names the row to blame, and writes all others."""
    rows = [row(n, n % 5) for n in range(30)] + [bad] + [row(n, n % 5) for n in range(30, 50)]
    with pytest.raises(RowsRejected):
        index.upsert(rows)
    refused = GroupWriter(index, max_rows=100).write(rows, time.monotonic() + 60)
    assert refused.keys() == {bad.id}
    assert index.lookup(keys(*rows), fresh=True) == {one.id: one for one in rows if one is not bad}


def test_vectors_whose_wrong_lengths_cancel_are_refused(index: SearchableIndex) -> None:
    """Milvus counts the bytes of all vectors together: 7 and 9 would pass, and shift every row between them."""
    with pytest.raises(RowsRejected):
        index.upsert([row(1, vector=bytes(7)), row(2, vector=b"\xff" * 8), row(3, vector=bytes(9))])
    assert index.lookup(keys(row(1), row(2), row(3)), fresh=True) == {}


def test_a_delete_takes_only_what_is_named(index: SearchableIndex) -> None:
    """The rest stays, and deleting again does no harm."""
    rows = [row(n, company) for n in range(3) for company in (1, 2)]
    index.upsert(rows)
    for _ in range(2):
        index.delete(keys(row(0, 1), row(1, 2)))
        left = {one.id for one in rows} - {row(0, 1).id, row(1, 2).id}
        assert set(index.lookup(keys(*rows), fresh=True)) == left


def test_a_search_finds_the_nearest_of_one_tenant(index: SearchableIndex) -> None:
    """Distances are Hamming's, nearest first, and no other company's rows are among them."""
    vectors = [(2**n - 1).to_bytes(8) for n in range(60)]
    companies = (1, 17, 2**63 - 1, -(2**63), -(2**63) + 1)
    rows = [row(n, company, vector=vector) for n, vector in enumerate(vectors) for company in companies]
    index.upsert(rows)
    for company in companies:
        (hits,) = index.search([vectors[20]], Scope(company, fresh=True), 7)
        assert {hit.company_id for hit in hits} == {company}
        assert [hit.distance for hit in hits] == [0, 1, 1, 2, 2, 3, 3]
        assert all(hit.distance == hamming(vectors[20], vectors[hit.meta_id]) for hit in hits)
        assert {hit.object_key for hit in hits} == {"a.jpg"}


def test_a_search_of_all_tenants_says_whose_each_row_is(index: SearchableIndex) -> None:
    """Without a company every tenant's rows are found, in whichever partition."""
    rows = [row(1, company) for company in range(-3, 40)]
    index.upsert(rows)
    (hits,) = index.search([bytes(8)], Scope(None, fresh=True), 100)
    assert sorted(hit.company_id for hit in hits) == list(range(-3, 40))


def test_the_largest_distance_is_inclusive(index: SearchableIndex) -> None:
    """A bound of 0 finds equal vectors, a bound of 64 finds everything."""
    rows = [row(n, vector=(2**n - 1).to_bytes(8)) for n in (0, 1, 2, 64)]
    index.upsert(rows)
    for bound, expected in ((0, [0]), (1, [0, 1]), (2, [0, 1, 2]), (63, [0, 1, 2]), (64, [0, 1, 2, 64])):
        (hits,) = index.search([bytes(8)], Scope(1, max_distance=bound, fresh=True), 10)
        assert [hit.distance for hit in hits] == expected


def test_many_searches_are_answered_in_order(index: SearchableIndex) -> None:
    """Each vector has its own hits, up to the largest limit."""
    index.upsert([row(n, vector=n.to_bytes(8)) for n in range(1200)])
    queries = [n.to_bytes(8) for n in range(100)]
    results = index.search(queries, Scope(1, fresh=True), 1000)
    assert [hits[0].meta_id for hits in results] == list(range(100))
    assert {len(hits) for hits in results} == {1000}


def test_rows_are_counted(index: SearchableIndex) -> None:
    """Deleted and replaced rows do not count."""
    index.upsert([row(n) for n in range(5)])
    index.upsert([row(0, key="b.jpg")])
    index.delete(keys(row(1)))
    assert list(index.counts().values()) == [4]


def test_workers_that_start_together_share_one_collection(settings: WorkerSettings) -> None:
    """Six first uses at once make one collection, complete, and every write is found by all."""
    connections = [MilvusConnection(settings) for _ in range(6)]
    indexes = [MilvusIndex(connection, settings, AHASH) for connection in connections]
    write: Callable[[int], None] = lambda n: indexes[n].upsert([row(n, company_id=n)])  # noqa: E731
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    assert [index.counts() for index in indexes] == [{indexes[0].collection: 6}] * 6
    for connection in connections:
        connection.close()


def test_rows_are_read_in_the_order_of_their_ids(index: SearchableIndex) -> None:
    """Page by page, each row once, of one tenant or of all; the last page is short."""
    rows = sorted((row(n, company) for n in range(150) for company in (1, 2)), key=lambda one: one.id)
    index.upsert(rows)
    for company, expected in ((1, [one for one in rows if one.company_id == 1]), (None, rows), (9, [])):
        read: list[Row] = []
        while page := index.scan(company, read[-1].id if read else -1, 40):
            read += page
            assert len(page) == 40 or len(read) == len(expected)
        assert read == expected


def test_a_page_begins_after_an_id(index: SearchableIndex) -> None:
    """Ids near the largest are read too (the largest itself, Milvus 2.3 shows to no range)."""
    last = replace(row(1), id=2**63 - 2)
    index.upsert([row(2), last])
    assert index.scan(1, -1, 10) == index.scan(1, -(2**63), 10) == [row(2), last]
    assert index.scan(1, row(2).id, 10) == [last]
    assert index.scan(1, last.id, 10) == []


def test_a_sample_is_of_a_tenants_good_pictures(index: SearchableIndex) -> None:
    """It is about as large as asked for, and says of how many it is; blank pictures are not in it."""
    good = [row(n, vector=n.to_bytes(8)) for n in range(400)]
    blank = [replace(row(n), hashes=(Hash("ahash", bytes(8), LOW_QUALITY - 1),)) for n in range(400, 500)]
    index.upsert([*good, *blank, row(1, 2)])
    _wait_until(lambda: index.sample(1, 1000).total == 400)
    whole = index.sample(1, 1000)
    assert whole.total == 400
    assert sorted(_split(whole.vectors)) == sorted(one.vector for one in good)
    some = index.sample(1, 100)
    assert some.total == 400
    assert 50 < len(_split(some.vectors)) < 200
    assert set(_split(some.vectors)) <= {one.vector for one in good}
    assert index.sample(3, 100) == Sample(b"", 0)


def test_rows_of_a_vector_are_read_and_counted(index: SearchableIndex) -> None:
    """Of one tenant or of all, page by page; blank pictures are asked for."""
    index.upsert([row(n, vector=bytes([n % 2]) * 8) for n in range(5)] + [row(9, 2, vector=bytes(8))])
    _wait_until(lambda: index.count(None) == 6)
    assert index.count(1) == 5
    blank = replace(row(7), hashes=(Hash("ahash", bytes(8), LOW_QUALITY - 1),))
    index.upsert([blank])
    zero = vector_key(bytes(8))
    assert index.count_of_vector(Scope(1, fresh=True), zero) == 3
    assert index.count_of_vector(Scope(1, fresh=True, low_quality=True), zero) == 4
    assert index.count_of_vector(Scope(None, fresh=True), zero) == 4
    assert index.count_of_vector(Scope(1, fresh=True), vector_key(b"\x07" * 8)) == 0
    everything = index.of_vector(Scope(1, fresh=True), zero, -1, 10)
    expected = sorted((row(n) for n in (0, 2, 4)), key=lambda one: one.id)
    assert everything == [
        Hit(0, one.id, one.meta_id, 1, one.object_key, one.hashes[0].quality, one.indexed_at, zero) for one in expected
    ]
    assert index.of_vector(Scope(1, fresh=True), zero, everything[0].id, 1) == everything[1:2]
    assert index.of_vector(Scope(1, fresh=True), zero, everything[-1].id, 1) == []


def test_a_search_leaves_out_what_is_named_and_what_is_blank(index: SearchableIndex) -> None:
    """Vectors by their keys, and pictures of low quality unless they are asked for."""
    blank = replace(row(9), hashes=(Hash("ahash", bytes(8), LOW_QUALITY - 1),))
    index.upsert([row(1), row(2, vector=b"\x01" * 8), row(3, vector=b"\x03" * 8), blank])
    scope, keys = Scope(1, fresh=True), [vector_key(bytes(8)), vector_key(b"\x01" * 8)]
    for wanted, without, expected in (
        (scope, [], [1, 2, 3]),
        (scope, keys, [3]),
        (scope._replace(low_quality=True), [], [1, 9, 2, 3]),
        (scope._replace(low_quality=True), keys[1:], [1, 9, 3]),
    ):
        (hits,) = index.search([bytes(8)], wanted, 10, without)
        assert sorted(hit.meta_id for hit in hits) == sorted(expected)
    (hits,) = index.search([bytes(8)], scope._replace(low_quality=True), 10)
    assert {hit.meta_id: (hit.quality, hit.indexed_at, hit.vector_key) for hit in hits}[9] == (
        LOW_QUALITY - 1,
        blank.indexed_at,
        keys[0],
    )


def _split(vectors: bytes) -> list[bytes]:
    return [vectors[start : start + 8] for start in range(0, len(vectors), 8)]


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)
