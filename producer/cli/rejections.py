"""What becomes of bad lines: written to a file, or told of as long as there are few."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import typer

from contract import LookalikeError
from producer.cli.options import STDIN

_MOST_TOLD: Final = 20
# Longer than any event that is good, in whatever way its key is escaped.
_MOST_WRITTEN: Final = 8_000


class BinaryWriter(Protocol):
    """What lines are written to."""

    def write(self, data: bytes, /) -> int | None:
        """Write some bytes."""


class RejectsLost(LookalikeError):
    """The file of bad lines cannot be written any more."""


class Rejections:
    """Counts bad lines. Each is written down as it comes; without a file, the first ones are told of.

    Attributes:
        count: how many came.
        file: that they are written to, as JSONL: `line` (its number, counted from 1), `reason`, and `text`, the line
            itself: its first 8,000 bytes, where what is no UTF-8 stands as its number.
    """

    def __init__(self, file: Path | None, written: BinaryWriter | None, tell: Callable[[str], None], name: str) -> None:
        self.count = 0
        self.file = file
        self._written = written
        self._tell = tell
        self._name = name

    def __call__(self, line: int, reason: str, text: bytes) -> None:
        """Take a bad line."""
        self.count += 1
        if self._written is not None:
            shown = text[:_MOST_WRITTEN].rstrip(b"\r\n").decode(errors="backslashreplace")
            told = json.dumps({"line": line, "reason": reason, "text": shown}, ensure_ascii=False)
            try:
                # A lone surrogate is no UTF-8: it is written as JSON escapes it.
                self._written.write(f"{told}\n".encode(errors="backslashreplace"))
            except OSError as error:
                raise RejectsLost(f"{self.file}: {error.strerror}; stopped at line {line}") from None
        elif self.count <= _MOST_TOLD:
            self._tell(f"{self._name}:{line}: {reason}")
        elif self.count == _MOST_TOLD + 1:
            self._tell(f"{self._name}: further bad lines are only counted; --rejects FILE keeps them all")


@contextmanager
def open_rejections(file: Path | None, *, source: str, tell: Callable[[str], None]) -> Iterator[Rejections]:
    """Begin to take bad lines.

    Args:
        file: to write them to; what was in it is gone. None: tell of the first 20.
        source: the name of what the lines come from.
        tell: is given one line of text without its end.
    """
    if file is None:
        yield Rejections(None, None, tell, source)
        return
    # Unbuffered: who looks meanwhile, or after a kill, sees all that came until then.
    with file.open("wb", buffering=0) as written:
        yield Rejections(file, written, tell, source)


def writable_file(file: Path | None, *, source: Path | None) -> None:
    """Check the file that bad lines are to be written to.

    Raises:
        BadParameter: it cannot be written, or is the file that is read.
    """
    if file is None:
        return
    if source is None:
        raise typer.BadParameter("--rejects is for --file.")
    if file == STDIN:
        raise typer.BadParameter("--rejects needs a file of its own: on the standard output is the summary.")
    if file.exists() and source.exists() and file.samefile(source):
        raise typer.BadParameter("--rejects names the file that is read; it would be overwritten.")
    try:
        file.open("a").close()
    except OSError as error:
        raise typer.BadParameter(f"--rejects: {file} cannot be written: {error.strerror}.") from None
