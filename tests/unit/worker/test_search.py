"""From queries to matches."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from contract import (
    PROFILES,
    InvalidMessage,
    Query,
    QueryNotFound,
    QueryRejected,
    SearchOptions,
    ServiceUnavailable,
    row_id,
)
from tests.corpus import encode
from worker.core.chance import Estimate
from worker.core.errors import Misconfigured, ObjectMissing, Transient
from worker.core.hashing import create_vector
from worker.ports import Hit, Row, Scope
from worker.services.queries import Queries
from worker.services.search import Search
from worker.testing import MemoryIndex, MemoryObjects, fingerprinting, hamming, make_row

AHASH = PROFILES["ahash"]
PICTURE = encode(Image.radial_gradient("L"), "PNG")


class Stingy(MemoryIndex):
    """An index that gives equal distances in an order of its own, as Milvus does."""

    def search(
        self, vectors: Sequence[bytes], scope: Scope, limit: int, without: Collection[int] = ()
    ) -> Sequence[Sequence[Hit]]:
        """Of equal distances the largest id comes first, and the asker gets no more than asked."""
        self.asked.append((len(vectors), limit))
        found = super().search(vectors, scope, 10**6, without)
        return [sorted(hits, key=lambda hit: (hit.distance, -hit.id))[:limit] for hits in found]

    def __init__(self, rows: dict[int, Row]) -> None:
        super().__init__(rows)
        self.asked: list[tuple[int, int]] = []


def rows(vectors: Sequence[bytes], company_id: int = 1) -> dict[int, Row]:
    """Rows of a tenant with these vectors, meta_id from 0."""
    made = [make_row(n, company_id, vector=vector, object_key=f"{company_id}/{n}") for n, vector in enumerate(vectors)]
    return {row.id: row for row in made}


def searcher(index: MemoryIndex, objects: MemoryObjects | None = None, retry_seconds: float = 0.2) -> Search:
    """A search over an index."""
    queries = Queries(
        objects or MemoryObjects({"picture": PICTURE, "text": b"no picture"}),
        index,
        fingerprinting(create_vector),
        profile=AHASH,
        max_image_bytes=100_000,
        object_seconds=5,
    )
    return Search(
        index,
        queries,
        lambda company_id: Estimate.of(AHASH, index.sample(company_id, 1000).vectors, 1000),
        profile=AHASH,
        verification=None,
        retry_seconds=retry_seconds,
    )


@pytest.mark.parametrize(
    "query",
    [
        Query(image=PICTURE),
        Query(object_key="picture"),
        Query(vector=create_vector(PICTURE)),
        Query(meta_id=1),
    ],
    ids=["image", "object_key", "vector", "meta_id"],
)
def test_each_kind_of_query_finds_the_same(query: Query) -> None:
    """A picture is found by its bytes, its object, its hash, or the id it is indexed under."""
    index = MemoryIndex(rows([bytes(8), create_vector(PICTURE)]))
    (matches,) = searcher(index)([query], SearchOptions(company_id=1))
    found = {"id": row_id(1, 1), "meta_id": 1, "company_id": 1, "distance": 0, "object_key": "1/1"}
    assert matches[0].items() >= found.items()


def test_a_tenant_sees_its_own_pictures_only() -> None:
    """Another company's rows come back only when all companies are asked for."""
    index = MemoryIndex(rows([bytes(8)], 1) | rows([bytes(8)], 2))
    search = searcher(index)
    query = [Query(vector=bytes(8))]
    assert [match["company_id"] for match in search(query, SearchOptions(company_id=2))[0]] == [2]
    found = search(query, SearchOptions(all_companies=True, collapse=False))[0]
    assert sorted(match["company_id"] for match in found) == [1, 2]


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=300), st.integers(1, 60), st.one_of(st.none(), st.integers(0, 3))
)
def test_the_answer_is_that_of_a_brute_force_search(bits: list[int], limit: int, max_distance: int | None) -> None:
    """Nearest first, equal distances by id, even where the limit falls among them, and the bound inclusive."""
    index = Stingy(rows([(2**n - 1).to_bytes(8) for n in bits]))
    options = SearchOptions(company_id=1, limit=limit, max_distance=max_distance, collapse=False)
    (matches,) = searcher(index)([Query(vector=bytes(8))], options)
    ordered = sorted((hamming(bytes(8), row.vector), row.id) for row in index.rows.values())
    expected = [pair for pair in ordered if max_distance is None or pair[0] <= max_distance][:limit]
    assert [(match["distance"], match["id"]) for match in matches] == expected


def test_many_queries_are_one_call() -> None:
    """A search of many asks the index once, and again only for those whose ties were cut."""
    index = Stingy(rows([bytes(8)] * 100 + [b"\xff" * 8]))
    queries = [Query(vector=b"\xff" * 8), Query(vector=bytes(8)), Query(vector=b"\xff" * 8)]
    results = searcher(index)(queries, SearchOptions(company_id=1, limit=1))
    assert [matches[0]["distance"] for matches in results] == [0, 0, 0]
    assert index.asked == [(3, 51), (1, 204)]


@pytest.mark.parametrize(
    ("query", "options", "error"),
    [
        (Query(vector=bytes(7)), SearchOptions(company_id=1), InvalidMessage),
        (Query(vector=bytes(9)), SearchOptions(company_id=1), InvalidMessage),
        (Query(meta_id=1), SearchOptions(all_companies=True), InvalidMessage),
        (Query(meta_id=404), SearchOptions(company_id=1), QueryNotFound),
        (Query(object_key="gone"), SearchOptions(company_id=1), QueryNotFound),
        (Query(object_key="text"), SearchOptions(company_id=1), QueryRejected),
        (Query(image=b"no picture"), SearchOptions(company_id=1), QueryRejected),
        (Query(image=PICTURE + bytes(100_000)), SearchOptions(company_id=1), QueryRejected),
    ],
)
def test_a_bad_query_is_told_what_is_wrong(query: Query, options: SearchOptions, error: type[Exception]) -> None:
    """Each kind of bad query has its own error."""
    with pytest.raises(error):
        searcher(MemoryIndex())([query], options)


def test_a_row_that_only_shares_the_key_is_not_the_picture() -> None:
    """A collision of primary keys does not make one picture answer for another."""
    index = MemoryIndex({row_id(1, 1): replace(make_row(9, 9), id=row_id(1, 1))})
    with pytest.raises(QueryNotFound):
        searcher(index)([Query(meta_id=1)], SearchOptions(company_id=1))


@pytest.mark.parametrize("error", [Transient("away"), Misconfigured("refused")])
def test_a_failing_index_makes_the_service_unavailable(error: Exception) -> None:
    """The caller learns that it is not the query's fault."""
    index = MemoryIndex()
    index.error = error  # type: ignore[assignment]
    with pytest.raises(ServiceUnavailable, match=str(error)):
        searcher(index)([Query(vector=bytes(8))], SearchOptions(company_id=1))


def test_a_search_outlasts_a_moment_of_trouble() -> None:
    """A transient failure is tried again within the time that a search has."""
    objects = MemoryObjects({"picture": PICTURE})
    trouble = [Transient("reset"), Transient("reset")]
    read = objects.get

    def get(key: str, deadline: float) -> object:
        if trouble:
            raise trouble.pop()
        return read(key, deadline)

    objects.get = get  # type: ignore[method-assign, assignment]
    search = searcher(MemoryIndex(), objects, retry_seconds=10)
    assert search([Query(object_key="picture")], SearchOptions(company_id=1)) == [[]]


def test_a_missing_object_is_not_waited_for() -> None:
    """A caller who asks for an object that is not there hears so at once."""
    objects = MemoryObjects(failing={"gone": ObjectMissing("gone")})
    with pytest.raises(QueryNotFound):
        searcher(MemoryIndex(), objects, retry_seconds=60)([Query(object_key="gone")], SearchOptions(company_id=1))
