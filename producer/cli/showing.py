"""`--html FILE`: what was found, as a page with pictures."""

from collections.abc import Iterable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated

import typer

from contract import LookalikeError

Html = Annotated[
    Path | None,
    typer.Option(
        "--html",
        metavar="FILE",
        dir_okay=False,
        help="Write a page with the pictures, in one file that asks nothing of the network. It replaces the file.",
    ),
]


class NotWritten(LookalikeError):
    """A file cannot be written."""


def write_page(file: Path, pieces: Iterable[str]) -> None:
    """Write a page, as `write_file` does."""
    write_file(file, (piece.encode() for piece in pieces))


def write_file(file: Path, pieces: Iterable[bytes]) -> None:
    """Write a file, whole or not at all.

    Raises:
        NotWritten: the folder is not there, full, or not ours.
    """
    try:
        with NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as draft:
            try:
                draft.writelines(pieces)
                draft.flush()
                Path(draft.name).replace(file)
            except BaseException:
                Path(draft.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise NotWritten(f"{file}: {error.strerror or error}") from error
    file.chmod(0o644)
