"""What was measured, as tables and as JSON."""

import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
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


def write(file: Path, measured: Sequence[Measured], *, valkey: str) -> None:
    """Write what was measured, and on what."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        json.dumps(conditions(valkey=valkey) | {"measured": [asdict(one) for one in measured]}, indent=2) + "\n"
    )


def conditions(**versions: str) -> dict[str, Any]:
    """When and on what it is measured; `versions` of what is no Python package are added."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in _PACKAGES} | versions,
    }
