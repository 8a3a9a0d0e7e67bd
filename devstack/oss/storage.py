"""Where the objects are: bodies in files, everything else in SQLite.

A body is written under a random name and becomes the object in the transaction that names it. So a reader sees the old
object or the new one whole, never the body of one with the checksums of the other; a crash leaves at worst a file that
nothing names, which the next start removes. File names never come from keys, which may be anything.

Safe against `kill -9`, not against a power cut: bodies are not fsynced. An instance belongs to one thread; a lock on
the folder keeps a second server out.
"""

import fcntl
import json
import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import crcmod

_SCHEMA_VERSION = 1
# Keys are blobs, for they are listed in the order of their UTF-8 bytes.
_SCHEMA = f"""
BEGIN;
CREATE TABLE buckets (name TEXT PRIMARY KEY, created REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE objects (
    bucket TEXT NOT NULL,
    key BLOB NOT NULL,
    body TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    md5 TEXT NOT NULL,
    crc64 TEXT NOT NULL,
    modified INTEGER NOT NULL,
    headers TEXT NOT NULL,
    PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
PRAGMA user_version = {_SCHEMA_VERSION};
COMMIT;
"""
_COLUMNS = "key, body, size, md5, crc64, modified, headers"
# CRC-64/XZ: the ECMA-182 polynomial, reflected. https://www.alibabacloud.com/help/en/oss/user-guide/crc-64
_CRC64 = crcmod.Crc(0x142F0E1EBA9EA3693, initCrc=0, xorOut=0xFFFFFFFFFFFFFFFF, rev=True)


class StorageError(Exception):
    """The folder cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """All that is known of an object but its bytes.

    Attributes:
        key: as the client gave it.
        body: name of the file with its bytes.
        size: in bytes.
        md5: upper-case hex, the ETag without its quotes.
        crc64: CRC-64/XZ, unsigned decimal.
        modified: when it was put, in whole seconds since 1970.
        headers: those that GET and HEAD give back.
    """

    key: str
    body: str
    size: int
    md5: str
    crc64: str
    modified: int
    headers: Mapping[str, str]

    @property
    def etag(self) -> str:
        """The ETag with its quotes."""
        return f'"{self.md5}"'


class Upload:
    """A body on its way in. Leaving the context without `Storage.put` removes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("xb")
        self._md5 = md5(usedforsecurity=False)
        self._crc64 = _CRC64.new()
        self.name = path.name
        self.size = 0
        self.kept = False

    @property
    def md5(self) -> bytes:
        """Digest of what was written so far."""
        return self._md5.digest()

    @property
    def crc64(self) -> str:
        """CRC of what was written so far, unsigned decimal."""
        return str(self._crc64.crcValue)

    def write(self, chunk: bytes) -> None:
        """Append."""
        self._file.write(chunk)
        self._md5.update(chunk)
        self._crc64.update(chunk)
        self.size += len(chunk)

    def close(self) -> None:
        """Write out what is buffered."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if not self.kept:
            self._path.unlink(missing_ok=True)


class Storage:
    """The objects of some buckets, in one folder.

    Args:
        folder: made if it is missing.
        buckets: the ones that exist; others that the folder has objects of stay, unseen.
        now: when buckets that are new were created, in seconds since 1970.

    Raises:
        StorageError: another server has the folder, or a newer version wrote it.
    """

    def __init__(self, folder: Path, buckets: Sequence[str], now: float) -> None:
        self._bodies = folder / "bodies"
        self._bodies.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(folder)
        try:
            self._database = _connect(folder / "index.sqlite3")
        except BaseException:
            os.close(self._lock)
            raise
        rows = [(bucket, now) for bucket in buckets]
        self._database.executemany("INSERT INTO buckets VALUES (?, ?) ON CONFLICT DO NOTHING", rows)
        created = self._database.execute("SELECT name, created FROM buckets")
        self._created = {name: seconds for name, seconds in created if name in set(buckets)}
        self._remove_orphans()

    def close(self) -> None:
        """Give the folder back."""
        self._database.close()
        os.close(self._lock)

    def bucket_created(self, bucket: str) -> float | None:
        """When the bucket was created, in seconds since 1970; None if there is no such bucket."""
        return self._created.get(bucket)

    def upload(self) -> Upload:
        """Begin a body."""
        path = self._path(secrets.token_hex(16))
        path.parent.mkdir(exist_ok=True)
        return Upload(path)

    def put(self, bucket: str, key: str, upload: Upload, headers: Mapping[str, str], now: float) -> StoredObject:
        """Make a body the object of that key, in place of the one before."""
        upload.close()
        stored = StoredObject(
            key, upload.name, upload.size, upload.md5.hex().upper(), upload.crc64, int(now), dict(headers)
        )
        previous = self.find(bucket, key)
        self._database.execute(
            f"INSERT OR REPLACE INTO objects (bucket, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constant
            (
                bucket,
                key.encode(),
                stored.body,
                stored.size,
                stored.md5,
                stored.crc64,
                stored.modified,
                json.dumps(stored.headers),
            ),
        )
        upload.kept = True
        if previous is not None:
            self._path(previous.body).unlink(missing_ok=True)
        return stored

    def find(self, bucket: str, key: str) -> StoredObject | None:
        """Look an object up."""
        query = f"SELECT {_COLUMNS} FROM objects WHERE bucket = ? AND key = ?"  # noqa: S608 - constant
        row = self._database.execute(query, (bucket, key.encode())).fetchone()
        return None if row is None else _stored(row)

    def open(self, stored: StoredObject) -> BinaryIO:
        """Open a body. It stays readable when the object is replaced or deleted meanwhile."""
        return self._path(stored.body).open("rb")

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object, if there is one."""
        previous = self.find(bucket, key)
        if previous is not None:
            self._database.execute("DELETE FROM objects WHERE bucket = ? AND key = ?", (bucket, key.encode()))
            self._path(previous.body).unlink(missing_ok=True)

    def scan(self, bucket: str, start: bytes) -> Iterator[StoredObject]:
        """The objects whose key, as UTF-8, is not below `start`, in order. Nothing may be written meanwhile."""
        query = f"SELECT {_COLUMNS} FROM objects WHERE bucket = ? AND key >= ? ORDER BY key"  # noqa: S608 - constant
        with closing(self._database.execute(query, (bucket, start))) as rows:
            yield from map(_stored, rows)

    def _path(self, name: str) -> Path:
        # 256 folders keep each of them small.
        return self._bodies / name[:2] / name

    def _remove_orphans(self) -> None:
        named = {name for (name,) in self._database.execute("SELECT body FROM objects")}
        for path in self._bodies.glob("*/*"):
            if path.name not in named:
                path.unlink()


def _lock(folder: Path) -> int:
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StorageError(f"another server is using the folder {folder}") from None
    return descriptor


def _connect(path: Path) -> sqlite3.Connection:
    # isolation_level=None: each statement commits itself.
    database = sqlite3.connect(path, isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            database.executescript(_SCHEMA)
        elif version != _SCHEMA_VERSION:
            raise StorageError(f"{path} has version {version}, this program reads {_SCHEMA_VERSION}")
    except BaseException:
        database.close()
        raise
    return database


def _stored(row: tuple[bytes, str, int, str, str, int, str]) -> StoredObject:
    key, body, size, digest, crc64, modified, headers = row
    return StoredObject(key.decode(), body, size, digest, crc64, modified, json.loads(headers))
