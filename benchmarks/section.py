"""A part of `make bench`: what it measures, as tables and a plot."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from matplotlib.figure import Figure
from rich.console import Console

Value: TypeAlias = float | int | str | None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of what was measured.

    Attributes:
        name: of the table, unique within its section, for those who read the JSON.
        title: what a reader is told: of what, in which unit.
        rows: each a value for every column, in their order; None where there is none. Each row has the same columns.
        notes: what a reader must know to believe it, a sentence each.
    """

    name: str
    title: str
    rows: Sequence[Mapping[str, Value]]
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the benchmark.

    Attributes:
        name: on the command line, and of its files in `results/`.
        about: one line for `--list`.
        run: measures. `quick` measures so little that it only shows that it runs. The console is for progress.
        plot: draws the tables that `run` gave; without it there is no picture.
        versions: of what is no Python package, such as `{"libjpeg": "..."}`.
    """

    name: str
    about: str
    run: Callable[[Console, bool], Iterator[Table]]
    plot: Callable[[Mapping[str, Table]], Figure] | None = None
    versions: Callable[[], Mapping[str, str]] = field(default=dict)
