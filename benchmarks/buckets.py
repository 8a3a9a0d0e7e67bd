"""A bucket of the stand-in that is full, without putting object by object over HTTP."""

import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

from devstack.state import DEFAULT_BUCKET

_MD5: Final = "D41D8CD98F00B204E9800998ECF8427E"


def fill(
    stack_folder: Path, keys: Iterable[str], *, size: int = 1000, crc: int = 0, modified: float | None = None
) -> None:
    """Have the stand-in of a stack list objects, and say of them what a HEAD says. They have no body to be read.

    Args:
        stack_folder: of a stack whose stand-in was started once.
        keys: of the objects.
        size: in bytes, as it is told.
        crc: the CRC-64, as it is told.
        modified: when they were written, in seconds since 1970; now, unless given.
    """
    (index,) = stack_folder.glob("oss/**/index.sqlite3")
    written = int(time.time() if modified is None else modified)
    rows = (
        (DEFAULT_BUCKET, key.encode(), f"none-{written}-{n}-{key}", size, _MD5, str(crc), written, "{}")
        for n, key in enumerate(keys)
    )
    with closing(sqlite3.connect(index, timeout=60)) as database, database:
        database.executemany("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
