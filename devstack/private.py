"""Files that only their owner can read."""

import os
from pathlib import Path
from typing import Final

_PRIVATE: Final = 0o600


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read. Who reads it sees the old text or the new."""
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)
    unfinished.replace(file)
