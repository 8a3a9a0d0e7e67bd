"""The rows of a collection in a temporary file, in the order of their objects' keys."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Final, NamedTuple, Self

from contract import LookalikeError
from contract.audit import StoredRow

# Keys are blobs, for they are compared by the bytes of their UTF-8, as OSS lists them.
_SCHEMA: Final = """
CREATE TABLE rows (id INTEGER PRIMARY KEY, company_id INTEGER, meta_id INTEGER, key BLOB, indexed_at INTEGER);
CREATE TABLE dead (key BLOB PRIMARY KEY, last_seen INTEGER) WITHOUT ROWID;
CREATE TABLE others (key BLOB PRIMARY KEY, company_id INTEGER, meta_id INTEGER, modified INTEGER) WITHOUT ROWID;
CREATE TABLE orphans (id INTEGER PRIMARY KEY);
"""
_CACHE: Final = -16 * 1024  # KiB of memory


class NoRoom(LookalikeError):
    """The temporary file cannot be written: the disk is full, or the folder is not ours."""


@contextmanager
def _written() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise NoRoom(f"the rows cannot be kept in a temporary file: {error}") from error


class KnownRow(NamedTuple):
    """A row, without its hash."""

    key: bytes
    id: int
    company_id: int
    meta_id: int
    indexed_at: int


class OtherObject(NamedTuple):
    """An object of a picture whose row is of another object, and what is known of that row."""

    key: bytes
    company_id: int
    meta_id: int
    modified: int
    indexed_at: int
    orphaned: bool


class Store:
    """A database in a folder of its own, which goes with it. One thread uses it."""

    def __init__(self, folder: Path | None) -> None:
        """Make it.

        Args:
            folder: where to make it; the system's place for temporary files unless given.

        Raises:
            NoRoom: nothing can be written there. So do all methods that add.
        """
        with _written():
            self._folder = TemporaryDirectory(prefix="lookalike-audit-", dir=folder)
            # isolation_level=None: no transactions but ours.
            self._database = sqlite3.connect(Path(self._folder.name) / "rows.sqlite3", isolation_level=None)
            for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = {_CACHE}", "temp_store = FILE"):
                self._database.execute(f"PRAGMA {pragma}")
            self._database.executescript(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._database.close()
        self._folder.cleanup()

    def add_rows(self, rows: Sequence[StoredRow]) -> None:
        """Keep a page of rows."""
        values = (
            (row["id"], row["company_id"], row["meta_id"], row["object_key"].encode(), row["indexed_at"])
            for row in rows
        )
        self._many("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?)", values)

    def end_rows(self) -> None:
        """All rows are there."""
        with _written():
            self._database.execute("CREATE INDEX by_key ON rows (key)")
            self._database.execute("CREATE INDEX by_picture ON rows (company_id, meta_id)")

    def add_dead(self, letters: Iterable[tuple[str, int]]) -> None:
        """Keep the keys of dead letters, and when each was given up, in milliseconds since 1970."""
        self._many(
            "INSERT INTO dead VALUES (?, ?) ON CONFLICT DO UPDATE SET last_seen = max(last_seen, excluded.last_seen)",
            ((key.encode(), last_seen) for key, last_seen in letters),
        )

    def given_up(self, key: bytes) -> int | None:
        """When the event of an object was given up last; None if it was not."""
        found = self._database.execute("SELECT last_seen FROM dead WHERE key = ?", (key,)).fetchone()
        return None if found is None else int(found[0])

    def rows(self, prefix: bytes) -> Iterator[KnownRow]:
        """Read the rows of objects under a prefix, in the order of their keys."""
        query = "SELECT key, id, company_id, meta_id, indexed_at FROM rows WHERE key >= ? ORDER BY key, id"
        with closing(self._database.execute(query, (prefix,))) as found:
            for row in map(KnownRow._make, found):
                if not row.key.startswith(prefix):
                    return
                yield row

    def of_picture(self, company_id: int, meta_id: int) -> KnownRow | None:
        """The row of a picture."""
        query = "SELECT key, id, company_id, meta_id, indexed_at FROM rows WHERE company_id = ? AND meta_id = ?"
        found = self._database.execute(query, (company_id, meta_id)).fetchone()
        return None if found is None else KnownRow._make(found)

    def add_orphan(self, row_id: int) -> None:
        """Note that a row's object is not listed."""
        with _written():
            self._database.execute("INSERT OR IGNORE INTO orphans VALUES (?)", (row_id,))

    def add_other(self, key: bytes, company_id: int, meta_id: int, modified: int) -> None:
        """Note an object of a picture whose row is of another."""
        values = (key, company_id, meta_id, modified)
        with _written():
            self._database.execute("INSERT OR REPLACE INTO others VALUES (?, ?, ?, ?)", values)

    def others(self) -> Iterator[OtherObject]:
        """The objects that were noted, and of each picture's row whether its object is listed."""
        query = (
            "SELECT others.key, others.company_id, others.meta_id, modified, indexed_at, orphans.id IS NOT NULL "
            "FROM others JOIN rows USING (company_id, meta_id) LEFT JOIN orphans ON orphans.id = rows.id "
            "ORDER BY others.key"
        )
        with closing(self._database.execute(query)) as found:
            for key, company_id, meta_id, modified, indexed_at, orphaned in found:
                yield OtherObject(key, company_id, meta_id, modified, indexed_at, bool(orphaned))

    def _many(self, statement: str, values: Iterable[tuple[object, ...]]) -> None:
        with _written():
            self._database.execute("BEGIN")
            self._database.executemany(statement, values)
            self._database.execute("COMMIT")
