"""Taking pictures out of the index."""

from contract import Item, row_id
from worker.ports import Row
from worker.services.removal import Removal
from worker.testing import MemoryIndex, MemoryRecent


def row(meta_id: int, company_id: int) -> Row:
    """A row of a picture."""
    return Row(row_id(company_id, meta_id), meta_id, company_id, bytes(8), "a", 0, 0)


def test_only_what_is_named_goes_and_only_what_was_there_counts() -> None:
    """A tenant's picture is deleted, the same meta_id of another tenant stays, and what is gone counts once."""
    kept, gone = row(1, 2), row(1, 1)
    index = MemoryIndex({kept.id: kept, gone.id: gone})
    recent = MemoryRecent(dict(index.rows))
    removal = Removal(index, recent)
    items = [Item(meta_id=1, company_id=1), Item(meta_id=1, company_id=1), Item(meta_id=404, company_id=1)]
    assert removal(items) == 1
    assert index.rows == recent.rows == {kept.id: kept}
    assert removal(items) == 0


def test_a_row_that_only_shares_the_key_stays() -> None:
    """A collision of primary keys does not let one picture's deletion take another's row."""
    other = Row(row_id(1, 1), 9, 9, bytes(8), "a", 0, 0)
    index = MemoryIndex({other.id: other})
    assert Removal(index, MemoryRecent())([Item(meta_id=1, company_id=1)]) == 0
    assert index.rows == {other.id: other}
