"""What the commands print: data on the standard output, complaints on the standard error."""

import json
import sys
from typing import Any, Final

import typer

_NO_FOLDING: Final = 4000


def print_json(value: Any) -> None:
    """Print a value as one line of JSON."""
    typer.echo(json.dumps(value))


def complain(message: object) -> None:
    """Print one line on the standard error, under the program's name."""
    typer.echo(f"lookalike: {printable(' '.join(str(message).split()))}", err=True)


def print_alarm(message: str) -> None:
    """Print one line that is not to be overlooked; red, at a terminal."""
    typer.secho(printable(message), fg=typer.colors.RED, bold=True)


def printable(text: str) -> str:
    """Escape what would move the cursor of a terminal or colour it: object keys are other people's."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Say how many: `1 event`, `12,000 events`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """Print a table; numbers belong into columns whose name begins with `>`."""
    from rich import box  # noqa: PLC0415 - only for those who print a table
    from rich.console import Console  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        right = column.startswith(">")
        table.add_column(column.removeprefix(">"), justify="right" if right else "left", no_wrap=right, overflow="fold")
    for row in rows:
        # Text, because a key such as [red]x[/red] is no markup.
        table.add_row(*(Text(printable(cell)) for cell in row))
    # A file or a pipe has no width; nothing is folded there.
    Console(width=None if sys.stdout.isatty() else _NO_FOLDING).print(table)
