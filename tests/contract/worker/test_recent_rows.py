"""Rows written a moment ago are found by every worker, until a minute has passed or they are deleted."""

from producer.ledger import Ledger
from worker.adapters.recent import RecentRows
from worker.ports import Row

ROWS = [Row(2**63 - 1 - n, -n, n, bytes(range(8)), f"图 {n}.jpg", 2**64 - 1, n) for n in range(3)]


def test_rows_come_back_as_they_were_put(ledger: Ledger) -> None:
    """Every field survives, another collection's rows are not mixed in, and what is not known is left out."""
    recent = RecentRows(ledger.connection, collection="images_ahash")
    other = RecentRows(ledger.connection, collection="images_phash")
    recent.put(ROWS)
    ids = [row.id for row in ROWS]
    assert recent.get([*ids, 5]) == {row.id: row for row in ROWS}
    assert other.get(ids) == {}
    assert recent.get([]) == {}


def test_a_deleted_row_is_forgotten(ledger: Ledger) -> None:
    """A picture that was deleted is not taken for unchanged."""
    recent = RecentRows(ledger.connection, collection="images_ahash")
    recent.put(ROWS)
    recent.forget([ROWS[0].id])
    recent.forget([])
    assert set(recent.get([row.id for row in ROWS])) == {ROWS[1].id, ROWS[2].id}


def test_memory_is_bounded(ledger: Ledger) -> None:
    """Every remembered row expires."""
    RecentRows(ledger.connection, collection="images_ahash").put(ROWS)
    keys = list(ledger.connection.scan_iter("*row*"))
    assert len(keys) == 3
    assert all(0 < ledger.connection.ttl(key) <= 60 for key in keys)
