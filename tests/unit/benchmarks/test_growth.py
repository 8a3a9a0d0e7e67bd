"""What `make bench` says of collections that grow; the measuring itself is not for tests."""

import pytest

from benchmarks.growth import Spent, blocks, costs, footprint, rates
from contract import MAX_EVENTS


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
