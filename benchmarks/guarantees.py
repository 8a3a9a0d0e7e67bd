"""What the guarantees cost: the ledger to producers; ledger, leases and claims to workers.

Everything is measured on a development stack of its own, in blocks with the guarantees and without by turns.
"""

import argparse
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import structlog
from rich.console import Console

from benchmarks import report
from benchmarks.cost import Meter
from benchmarks.enqueuing import Enqueuing, measure_enqueuing
from benchmarks.ingesting import Bench, Ingesting
from benchmarks.photos import large, small
from benchmarks.report import Measured
from devstack import Stack
from producer import ClientSettings
from worker.settings import WorkerSettings

RESULTS: Final = Path(__file__).parent / "results" / "guarantees.json"
_COLLECTION: Final = "benchmark"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line: `quick`, and the file `out`, which a quick run has only if it is named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guarantees", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few blocks, to see that it runs; writes no results")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help=f"where results go ({RESULTS.name} beside this module)"
    )
    given = parser.parse_args(arguments)
    if given.out is None and not given.quick:
        given.out = RESULTS
    return given


def enqueuing(*, quick: bool) -> Iterator[Enqueuing]:
    """Batches of three sizes. A block takes a quarter of a second or more."""
    for size, batches in ((1, 400), (10, 400), (100, 200)):
        yield Enqueuing(size, batches // 10 if quick else batches, pairs=2 if quick else 20)


def ingesting(*, quick: bool) -> Iterator[Ingesting]:
    """Pictures of the usual size, and the worst cases: thumbnails, and one event in a message."""
    pairs = 2 if quick else 12
    yield Ingesting("2 megapixels", list(large()), size=25, batches=2 if quick else 8, pairs=pairs)
    thumbnails = list(small())
    yield Ingesting("thumbnails", thumbnails, size=100, batches=2 if quick else 8, pairs=pairs)
    yield Ingesting("thumbnails", thumbnails, size=1, batches=50 if quick else 400, pairs=pairs)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write down."""
    given = parse(arguments)
    # Logs are no guarantee; without them the share of what is measured is larger, if anything.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    console = Console()
    with TemporaryDirectory(prefix="lookalike-benchmark-") as directory, Stack(Path(directory)) as stack:
        os.environ.update(stack.env)
        os.environ["LOOKALIKE_COLLECTION"] = _COLLECTION
        settings = WorkerSettings.from_env()
        with closing(Meter(settings.ledger_url)) as meter:
            measured: list[Measured] = []
            for found in _measure(settings, meter, quick=given.quick):
                report.show(console, found)
                measured += found
            if given.out is not None:
                content = {"measured": [asdict(one) for one in measured]}
                report.save(given.out, content, valkey=meter.valkey_version())
                console.print(f"Written to {given.out}")


def _measure(settings: WorkerSettings, meter: Meter, *, quick: bool) -> Iterator[list[Measured]]:
    for one in enqueuing(quick=quick):
        yield list(measure_enqueuing(one, ClientSettings.from_env(), meter))
    with closing(Bench(settings, meter)) as bench:
        for another in ingesting(quick=quick):
            yield list(bench.measure(another))


if __name__ == "__main__":
    main()
