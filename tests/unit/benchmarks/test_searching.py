"""What the benchmark of searches measures; the measuring itself is not for tests."""

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.searching import ROWS_VARIABLE, SECTION, interleave, sizes
from benchmarks.section import Table
from benchmarks.vectors import PARTITIONS, TENANTS, Vectors, rows_of
from contract import row_id
from worker.core.hashing import BITS
from worker.core.schema import fields


def test_sizes() -> None:
    """10 k, 100 k and 1 M rows, and more only on demand; a quick run has the least."""
    assert sizes({}, quick=False) == [10_000, 100_000, 1_000_000]
    assert sizes({ROWS_VARIABLE: "10000000"}, quick=False) == [10_000, 100_000, 1_000_000, 10_000_000]
    assert sizes({ROWS_VARIABLE: "10000000"}, quick=True) == [10_000]


def test_a_wrong_distance_is_counted() -> None:
    """For each query, beside the way that is believed."""

    def way(first: int) -> object:
        def search(queries: NDArray[np.uint8]) -> list[list[int]]:
            return [[first, 2] if n == 0 else [1, 2] for n in range(len(queries))]

        return search

    queries = [Vectors.random(3).bits]
    found = interleave({"right": way(1), "wrong": way(0)}, queries, "right", rounds=4)  # type: ignore[dict-item]
    assert (found["right"].wrong, found["wrong"].wrong) == (0, 4)
    assert [len(timing.seconds) for timing in found.values()] == [4, 4]
    assert 0 < found["right"].p50 <= found["right"].p95


@pytest.mark.parametrize(("start", "stop"), [(0, 1000), (317, 801)])
def test_every_row_is_in_its_partition(start: int, stop: int) -> None:
    """Each row once, with its tenant's partition, and with the vector that FAISS is given for the tenant."""
    vectors = Vectors.random(1000)
    seen: list[int] = []
    for partition in range(PARTITIONS):
        for row in rows_of(vectors, start, stop, partition):
            n, company_id = int(str(row["meta_id"])), int(str(row["company_id"]))
            assert company_id % PARTITIONS == partition
            assert row["image_vector"] == vectors.of_company(company_id)[n // TENANTS].tobytes()
            seen.append(n)
    assert sorted(seen) == list(range(start, stop))


def test_rows_are_like_the_products() -> None:
    """Every field of the schema, and ids as workers derive them, each once."""
    rows = [row for partition in range(PARTITIONS) for row in rows_of(Vectors.random(1000), 0, 1000, partition)]
    assert set(rows[0]) == {field.name for field in fields(BITS)}
    assert len({row["id"] for row in rows}) == 1000
    assert all(row["id"] == row_id(int(str(row["company_id"])), int(str(row["meta_id"]))) for row in rows)


def test_vectors_are_the_same_each_time() -> None:
    """For one seed, and with about half of their bits set."""
    assert np.array_equal(Vectors.random(100, seed=3).bits, Vectors.random(100, seed=3).bits)
    assert 0.45 < np.unpackbits(Vectors.random(1000, seed=3).bits).mean() < 0.55


def test_the_plot_has_a_line_for_each_way_and_scope() -> None:
    """Rows against milliseconds, on logarithmic scales."""
    rows = [
        {"way": way, "rows": rows, "tenants": tenants, "p50": 1.5}
        for way in ("a", "b")
        for tenants in ("one", "all")
        for rows in (10_000, 100_000)
    ]
    assert SECTION.plot is not None
    (axes,) = SECTION.plot({"search": Table("search", "", rows)}).axes
    assert len(axes.lines) == 4
    assert axes.get_xscale() == axes.get_yscale() == "log"
