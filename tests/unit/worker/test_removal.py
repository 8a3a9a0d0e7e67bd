"""Taking pictures out of the index."""

import time
from dataclasses import replace

import pytest

from contract import Item, row_id
from worker.core.errors import Transient
from worker.ports import Row
from worker.services.removal import Removal
from worker.testing import MemoryClaims, MemoryIndex, make_row


def row(meta_id: int, company_id: int) -> Row:
    """A row of a picture."""
    return make_row(meta_id, company_id)


def removal(index: MemoryIndex, claims: MemoryClaims | None = None, *, delete_seconds: float = 60) -> Removal:
    """A removal with nobody else at the pictures."""
    return Removal(index, claims or MemoryClaims(), delete_seconds=delete_seconds)


def test_only_what_is_named_goes_and_only_what_was_there_counts() -> None:
    """A tenant's picture is deleted, the same meta_id of another tenant stays, and what is gone counts once."""
    kept, gone = row(1, 2), row(1, 1)
    index = MemoryIndex({kept.id: kept, gone.id: gone})
    claims = MemoryClaims(dict(index.rows))
    remove = removal(index, claims)
    items = [Item(meta_id=1, company_id=1), Item(meta_id=1, company_id=1), Item(meta_id=404, company_id=1)]
    assert remove(items) == 1
    assert index.rows == claims.rows == {kept.id: kept}
    assert remove(items) == 0


def test_pictures_of_several_tenants_are_deleted_together() -> None:
    """Each tenant's rows go, and all of them count."""
    rows = [row(meta_id, company_id) for meta_id in range(3) for company_id in range(3)]
    index = MemoryIndex({one.id: one for one in rows})
    assert removal(index)([Item(meta_id=one.meta_id, company_id=one.company_id) for one in rows]) == 9
    assert index.rows == {}


def test_a_row_that_only_shares_the_key_stays() -> None:
    """A collision of primary keys does not let one picture's deletion take another's row."""
    other = replace(make_row(9, 9), id=row_id(1, 1))
    index = MemoryIndex({other.id: other})
    assert removal(index)([Item(meta_id=1, company_id=1)]) == 0
    assert index.rows == {other.id: other}


def test_a_delete_that_might_outlive_its_lock_is_not_begun() -> None:
    """What is left of the lock is too short for the slowest delete: it comes again, and the lock is gone."""
    kept = row(1, 1)
    index = MemoryIndex({kept.id: kept})
    claims = MemoryClaims(lock_seconds=50)
    with pytest.raises(Transient, match="too soon"):
        removal(index, claims, delete_seconds=60)([Item(meta_id=1, company_id=1)])
    assert index.rows == {kept.id: kept}
    assert claims.locked == set()


def test_a_delete_that_fails_lets_its_pictures_go() -> None:
    """Events of them need not wait until the lock has run out."""
    index, claims = MemoryIndex(error=Transient("away")), MemoryClaims()
    with pytest.raises(Transient, match="away"):
        removal(index, claims)([Item(meta_id=1, company_id=1)])
    assert claims.locked == set()


def test_a_row_is_withdrawn_only_as_long_as_it_is_that_row() -> None:
    """A later row of the same picture stays."""
    old = row(1, 1)
    new = replace(old, indexed_at=time.time_ns())
    index = MemoryIndex({new.id: new})
    removal(index).withdraw(old)
    assert index.rows == {new.id: new}
    removal(index).withdraw(new)
    assert index.rows == {}
