"""How much faster the fast way hashes JPEGs than the reference, in processor time, by turns."""

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.comparison import interleave
from benchmarks.pictures import of_pixels, within
from benchmarks.report import conditions
from worker.core.hashing import create_reference_vector, create_vector, fast_path_fault

RESULTS: Final = Path(__file__).parent / "results" / "hashing.json"


@dataclass(frozen=True, slots=True)
class Measured:
    """One size of pictures.

    Attributes:
        pictures: of what size.
        count: how many different ones.
        pairs: how often each was hashed either way.
        reference: milliseconds a picture with Pillow and imagehash, the median.
        fast: milliseconds the fast way, the median.
        ratio: the median of `reference / fast` over all pairs.
        wrong: vectors that differ.
    """

    pictures: str
    count: int
    pairs: int
    reference: float
    fast: float
    ratio: float
    wrong: int


def measure(name: str, bodies: Sequence[bytes], pairs: int) -> Measured:
    """Hash each picture so often either way."""
    found = [
        pair
        for body in bodies
        for pair in interleave(
            partial(_milliseconds, create_reference_vector, body), partial(_milliseconds, create_vector, body), pairs
        )
    ]
    return Measured(
        name,
        len(bodies),
        pairs,
        median(reference for reference, _ in found),
        median(fast for _, fast in found),
        median(reference / fast for reference, fast in found),
        sum(create_vector(body) != create_reference_vector(body) for body in bodies),
    )


def series(*, quick: bool) -> Iterator[Measured]:
    """The sizes: of a camera, of a screen, of a thumbnail."""
    yield measure("12 megapixels", list(of_pixels(12_000_000)), 1 if quick else 8)
    yield measure("2 megapixels", list(of_pixels(2_000_000)), 2 if quick else 30)
    yield measure("300 pixels wide or high", list(within(300)), 5 if quick else 200)


def show(console: Console, measured: Iterable[Measured]) -> None:
    """Print a table."""
    table = Table(title="JPEGs, processor time", title_justify="left", box=SIMPLE_HEAD)
    for column in ("medians", "reference, ms", "fast, ms", "ratio", "wrong"):
        table.add_column(column, justify="left" if column == "medians" else "right", no_wrap=True)
    for one in measured:
        table.add_row(one.pictures, f"{one.reference:.3g}", f"{one.fast:.3g}", f"{one.ratio:.2f}", str(one.wrong))
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hashing", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few times only, to see that it runs; writes no results")
    given = parser.parse_args(arguments)
    if fault := fast_path_fault():
        parser.exit(1, f"there is no fast way: {fault}\n")
    console = Console()
    measured = list(series(quick=given.quick))
    show(console, measured)
    if not given.quick:
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps(conditions() | {"measured": [asdict(one) for one in measured]}, indent=2) + "\n")
        console.print(f"Written to {RESULTS}")


def _milliseconds(hasher: Callable[[bytes], bytes], body: bytes) -> float:
    begun = time.thread_time()
    hasher(body)
    return (time.thread_time() - begun) * 1000


if __name__ == "__main__":
    main()
