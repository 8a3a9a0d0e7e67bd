"""What `make bench` fills collections with, and what it says of their growth; the measuring itself is not for tests."""

from collections import Counter

import numpy as np
import pytest

from benchmarks.filling import batches, vectors
from benchmarks.growth import Spent, blocks, costs, footprint, rates
from contract import MAX_EVENTS, row_id
from worker.core.schema import fields


def test_rows_are_like_the_products() -> None:
    """Every field of the schema, ids as workers derive them, each once; vectors stay with their numbers."""
    made = vectors(1000, seed=1)
    rows = [row for _, batch in batches(made, companies=7, partitions=4) for row in batch]
    assert set(rows[0]) == {field.name for field in fields(64)}
    assert len({row["id"] for row in rows}) == 1000
    for row in rows:
        assert row["id"] == row_id(row["company_id"], row["meta_id"])
        number = (row["meta_id"] - 1) * 7 + row["company_id"] - 1
        assert row["image_vector"] == made[number].tobytes()
    assert set(Counter(row["company_id"] for row in rows).values()) == {142, 143}


def test_rows_go_to_their_tenants_partitions() -> None:
    """In upserts that are not too large."""
    for partition, batch in batches(vectors(1000, seed=1), companies=7, partitions=4, size=50):
        assert 1 <= len(batch) <= 50
        assert {f"tenant_{row['company_id'] % 4}" for row in batch} == {partition}


def test_vectors_are_the_same_each_time() -> None:
    """For one seed, and with about half of their bits set."""
    assert np.array_equal(vectors(100, seed=3), vectors(100, seed=3))
    assert 0.45 < np.unpackbits(vectors(1000, seed=3)).mean() < 0.55


def test_the_rate_is_compared_pair_by_pair() -> None:
    """A block that was disturbed moves nothing, and costs are those of 1,000 images."""
    block = next(blocks(quick=False))
    pairs = [(Spent(1.9, 1.0, 0.5), Spent(2.0, 1.0, 0.6))] * 4 + [(Spent(9.0, 1.0, 0.5), Spent(2.0, 1.0, 0.6))]
    _, full = costs({block: pairs}, 1_000_000).rows
    assert full["time"] == pytest.approx(2.0 * 1000 / block.images)
    assert full["Milvus' CPU"] == pytest.approx(0.6 * 1000 / block.images)
    (rate,) = rates({block: pairs}).rows
    assert rate["rate"] == pytest.approx(0.95)
    assert rate["aim"] == 0.95


def test_a_row_takes_its_share_of_what_was_added() -> None:
    """Of memory and of disk."""
    memory, disk = footprint(1_000_000, (500.0, 10.0), (800.0, 110.0)).rows
    assert (memory["bytes a row"], disk["bytes a row"]) == (300, 100)


@pytest.mark.parametrize("quick", [True, False])
def test_every_block_can_be_measured(quick: bool) -> None:
    """Batches fit into messages, and there are pairs enough for quartiles."""
    for block in blocks(quick=quick):
        assert block.size <= MAX_EVENTS
        assert block.pairs >= 2
