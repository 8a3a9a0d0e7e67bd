"""What was measured, as tables and as JSON."""

import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.comparison import Comparison
from benchmarks.cost import Cost
from benchmarks.section import Table as ReportTable
from benchmarks.section import Value

_WHOLE: Final = 1000  # from here on, numbers are shown without a fraction
_PACKAGES: Final = (
    "lookalike",
    "celery",
    "hiredis",
    "imagehash",
    "milvus",
    "oss2",
    "pillow",
    "pymilvus",
    "redis",
    "simplejpeg",
)


@dataclass(frozen=True, slots=True)
class Metric:
    """A cost that is reported.

    Attributes:
        name: of what.
        unit: in which it is told.
        seconds: picks it out of the cost of a block.
        factor: what turns the seconds of a block into the unit.
    """

    name: str
    unit: str
    seconds: Callable[[Cost], float]
    factor: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric of one series, with the guarantees and without."""

    series: str
    metric: str
    unit: str
    comparison: Comparison


def compare(series: str, pairs: Sequence[tuple[Cost, Cost]], metrics: Iterable[Metric]) -> Iterator[Measured]:
    """Compare the costs of pairs of blocks, metric by metric."""
    for metric in metrics:
        values = [(metric.seconds(on) * metric.factor, metric.seconds(off) * metric.factor) for on, off in pairs]
        yield Measured(series, metric.name, metric.unit, Comparison.of(values))


def show(console: Console, measured: Iterable[Measured]) -> None:
    """Print a table for each series."""
    for series, rows in groupby(measured, key=lambda one: one.series):
        table = Table(title=series, title_justify="left", box=SIMPLE_HEAD)
        table.add_column("medians", no_wrap=True)
        for column in ("with", "without", "ratio", "share", "quartiles"):
            table.add_column(column, justify="right", no_wrap=True)
        for row in rows:
            found = row.comparison
            table.add_row(
                f"{row.metric}, {row.unit}",
                f"{found.on:.4g}",
                f"{found.off:.4g}",
                "" if found.ratio is None else f"{found.ratio:.3f}",
                f"{found.share:.1%}",
                f"{found.share_low:.1%} to {found.share_high:.1%}",
            )
        console.print(table)


def save(file: Path, content: Mapping[str, Any], **versions: str) -> Path:
    """Write as JSON what was measured, with when and on what; `versions` are of what is no Python package."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**conditions(**versions), **content}, indent=2) + "\n")
    return file


def print_table(console: Console, table: ReportTable) -> None:
    """Print a table and its notes. Numbers have three significant digits."""
    shown = Table(title=table.title, title_justify="left", box=SIMPLE_HEAD)
    for column, value in table.rows[0].items():
        shown.add_column(column, justify="left" if isinstance(value, str) else "right", overflow="fold")
    for row in table.rows:
        shown.add_row(*map(_cell, row.values()))
    console.print(shown)
    for note in table.notes:
        console.print(note, style="dim")


def _cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= _WHOLE else f"{value:.3g}"
    return value if isinstance(value, str) else f"{value:,}"


def conditions(**versions: str) -> dict[str, Any]:
    """When and on what it is measured; `versions` of what is no Python package are added."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in _PACKAGES} | versions,
    }
