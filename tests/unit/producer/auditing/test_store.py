"""The temporary file of an audit: where it is, that it goes, and what happens when there is no room."""

from pathlib import Path

import pytest

from contract.audit import StoredRow
from producer.auditing import NoRoom, Store


def row(n: int, key: str = "a.jpg") -> StoredRow:
    """A row."""
    return StoredRow(id=n, company_id=7, meta_id=n, object_key=key, indexed_at=n)


def test_it_is_where_it_is_wanted_and_goes(tmp_path: Path) -> None:
    """Nothing is left, also after an error."""
    with Store(tmp_path) as store:
        store.add_rows([row(n) for n in range(100)])
        (folder,) = tmp_path.iterdir()
        assert folder.name.startswith("lookalike-audit-")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ZeroDivisionError), Store(tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_no_room_is_said(tmp_path: Path) -> None:
    """When the disk is full, and where nothing can be written."""
    with Store(tmp_path) as store:
        store._database.execute("PRAGMA max_page_count = 20")  # noqa: SLF001 - a disk that is full
        with pytest.raises(NoRoom, match="full"):
            store.add_rows([row(n) for n in range(10_000)])
    with pytest.raises(NoRoom):
        Store(tmp_path / "none")


def test_keys_are_in_the_order_of_their_bytes(tmp_path: Path) -> None:
    """As OSS lists them: a character beyond the first plane comes after all of it, which UTF-16 has otherwise."""
    keys = ["a/\U0001f408", "a/\ufffd", "a/", "a", "b", "a/Z", "a/z", "a/\u00e9"]
    with Store(tmp_path) as store:
        store.add_rows([row(n, key) for n, key in enumerate(keys)])
        store.end_rows()
        assert [one.key.decode() for one in store.rows(b"")] == sorted(keys, key=str.encode)
        assert [one.key.decode() for one in store.rows(b"a/")] == sorted(keys[:3] + keys[5:], key=str.encode)
