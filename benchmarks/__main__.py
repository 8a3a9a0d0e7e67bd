"""How fast Lookalike is, beside what it is compared to: `make bench`."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks import (
    agreement,
    audit,
    backfill,
    blanks,
    chance,
    downloads,
    duplicates,
    enqueue_rate,
    growth,
    hashing,
    ingest_rate,
    lines,
    report,
    searching,
)
from benchmarks.section import Section

RESULTS: Final = Path(__file__).parent / "results"
SECTIONS: Final[tuple[Section, ...]] = (
    hashing.SECTION,
    agreement.SECTION,
    downloads.SECTION,
    ingest_rate.SECTION,
    growth.SECTION,
    enqueue_rate.SECTION,
    lines.SECTION,
    backfill.SECTION,
    audit.SECTION,
    searching.SECTION,
    duplicates.SECTION,
    blanks.SECTION,
    chance.SECTION,
)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line: `sections`, `quick`, and the folder `out`, which a quick run has only if it is named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help="measure these, in this order (all; --list names them)"
    )
    parser.add_argument("--list", action="store_true", help="name the sections")
    parser.add_argument("--quick", action="store_true", help="a little of each, to see that it runs; writes no results")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help=f"where results go ({RESULTS.name}/ beside this module)"
    )
    given = parser.parse_args(arguments)
    if unknown := set(given.sections) - {section.name for section in SECTIONS}:
        parser.error(f"there is no section {', '.join(sorted(unknown))}: --list names them")
    if given.out is None and not given.quick:
        given.out = RESULTS
    return given


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write down."""
    given, console = parse(arguments), Console()
    if given.list:
        for section in SECTIONS:
            console.print(f"{section.name:12} {section.about}", highlight=False)
        return
    sections = {section.name: section for section in SECTIONS}
    for name in given.sections or sections:
        measure(sections[name], console, quick=given.quick, out=given.out)


def measure(section: Section, console: Console, *, quick: bool, out: Path | None) -> None:
    """Measure one section: its tables as they come, then `NAME.json` and `NAME.png` in the folder `out`."""
    console.rule(section.name)
    tables = {}
    for table in section.run(console, quick):
        report.print_table(console, table)
        tables[table.name] = table
    if out is None:
        return
    content = {"tables": [asdict(table) for table in tables.values()]}
    file = report.save(out / f"{section.name}.json", content, **section.versions())
    console.print(f"Written to {file}")
    if section.plot is not None:
        picture = file.with_suffix(".png")
        section.plot(tables).savefig(picture, dpi=120, bbox_inches="tight")
        console.print(f"Drawn to {picture}")


if __name__ == "__main__":
    main()
