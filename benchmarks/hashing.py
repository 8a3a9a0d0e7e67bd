"""How fast JPEGs are hashed, beside other libraries and the bare decode; and whether every bit is right."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Final

from matplotlib.figure import Figure
from rich.console import Console

from benchmarks import exactness, photos
from benchmarks.comparison import interleave
from benchmarks.hashers import REFERENCE, Hasher, Missing, hashers
from benchmarks.section import Section, Table, Value
from worker.core.hashing import create_reference_vector, create_vector
from worker.testing import hamming

_NOT_ALL: Final = 2  # pictures, rounds and blocks of a quick run


@dataclass(frozen=True, slots=True)
class Series:
    """Pictures of one size.

    Attributes:
        name: for tables.
        make: makes them.
        rounds: how often each is hashed in each way.
        blocks: how often all are hashed by one thread, and by two.
        copies: how often each is hashed within a block.
    """

    name: str
    make: Callable[[], Iterator[bytes]]
    rounds: int
    blocks: int
    copies: int


SERIES: Final = (
    Series("12 MP", partial(photos.of_pixels, 12_000_000), rounds=8, blocks=4, copies=1),
    Series("2 MP", partial(photos.of_pixels, 2_000_000), rounds=30, blocks=6, copies=4),
    Series("300 px", partial(photos.within, 300), rounds=60, blocks=6, copies=30),
)


def run(console: Console, quick: bool) -> Iterator[Table]:
    """Time every way to hash, then threads, then compare vectors bit for bit."""
    ways = list(hashers())
    times: list[dict[str, Value]] = []
    threads: list[dict[str, Value]] = []
    for series in SERIES:
        console.print(f"{series.name} ...", style="dim")
        bodies = list(islice(series.make(), _NOT_ALL if quick else None))
        times += time_ways(series.name, ways, bodies, _NOT_ALL if quick else series.rounds)
        blocks, copies = (_NOT_ALL, 1) if quick else (series.blocks, series.copies)
        threads += time_threads(series.name, bodies * copies, blocks)
    yield Table(
        "times",
        "JPEGs: processor time of one, medians",
        times,
        (
            f"Photos: {photos.source()}, scaled, of quality 85, 4:2:0, in files that the kernel holds in memory.",
            "Those of 12 MP are enlarged, and have less detail than a camera's.",
            "The time is that of the process, with all threads of a library. Every way hashes each picture, by turns.",
            "Bits off: in how many of 64 a vector differs from the reference's, the median and the most.",
            "Differ: how many of the vectors do.",
            *(f"{way.name}: {way.about if isinstance(way, Hasher) else way.why}." for way in ways),
        ),
    )
    yield Table(
        "threads",
        "JPEGs: pictures a second by the clock, medians",
        threads,
        (f"On {os.cpu_count()} cores, one thread and two by turns. Whatever else runs on the machine lowers it.",),
    )
    console.print("every bit ...", style="dim")
    yield exactness.compare(quick=quick)


def time_ways(
    size: str, ways: Sequence[Hasher | Missing], bodies: Sequence[bytes], rounds: int
) -> Iterator[dict[str, Value]]:
    """Hash each picture so often in each way, by turns.

    Yields:
        A row for each way: milliseconds; how many times as fast as the reference it is, the median over all pairs; in
        how many of 64 bits its vectors differ, the median and the most; and how many vectors differ. A way that is
        missing has no values.
    """
    there = [way for way in ways if isinstance(way, Hasher)]
    seconds: dict[str, list[float]] = {way.name: [] for way in there}
    vectors: dict[str, list[bytes | None]] = {way.name: [] for way in there}
    with TemporaryDirectory(prefix="lookalike-benchmark-") as folder:
        for number, body in enumerate(bodies):
            file = Path(folder) / f"{number}.jpg"
            file.write_bytes(body)
            for hasher in there:  # uncounted: memory is taken, and libraries get ready
                vectors[hasher.name].append(hasher.hash(file))
            for turn in range(rounds):
                first = turn % len(there)
                for hasher in there[first:] + there[:first]:
                    seconds[hasher.name].append(_processor_seconds(hasher, file))
            file.unlink()
    for way in ways:
        row: dict[str, Value] = {"JPEGs of": size, "way": way.name}
        if not isinstance(way, Hasher):
            yield row | dict.fromkeys(("ms", "times as fast", "bits off", "most", "differ"))
            continue
        taken = seconds[way.name]
        off = [_bits_off(*pair) for pair in zip(vectors[way.name], vectors[REFERENCE], strict=True)]
        known = [bits for bits in off if bits is not None]
        yield row | {
            "ms": median(taken) * 1000,
            "times as fast": median(slow / fast for slow, fast in zip(seconds[REFERENCE], taken, strict=True)),
            "bits off": median(known) if known else None,
            "most": max(known) if known else None,
            "differ": f"{mean(bits > 0 for bits in known):.0%}" if known else None,
        }


def time_threads(size: str, bodies: Sequence[bytes], blocks: int) -> Iterator[dict[str, Value]]:
    """Hash all pictures so often with one thread and with two, by turns: the fast way, and the reference."""
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(2) as two:
        for name, hasher in (("fast", create_vector), (REFERENCE, create_reference_vector)):
            rates = interleave(partial(_rate, one, hasher, bodies), partial(_rate, two, hasher, bodies), blocks)
            yield {
                "JPEGs of": size,
                "way": name,
                "1 thread": median(alone for alone, _ in rates),
                "2 threads": median(both for _, both in rates),
                "ratio": median(both / alone for alone, both in rates),
            }


def plot(tables: Mapping[str, Table]) -> Figure:
    """Draw the milliseconds of each way, the sizes apart by colour, on a logarithmic axis."""
    rows = [row for row in tables["times"].rows if row["ms"] is not None]
    ways = list(dict.fromkeys(str(row["way"]) for row in rows))
    figure = Figure(figsize=(7, 0.5 + 0.45 * len(ways)))
    axes = figure.add_subplot()
    for marker, size in zip("osD", dict.fromkeys(row["JPEGs of"] for row in rows), strict=False):
        of_size = [row for row in rows if row["JPEGs of"] == size]
        milliseconds = [float(row["ms"] or 0) for row in of_size]
        axes.plot(milliseconds, [str(row["way"]) for row in of_size], marker, label=str(size))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("processor time of one JPEG, ms (log scale)")
    axes.set_ylabel("way to hash")
    axes.invert_yaxis()
    axes.grid(axis="x", which="both", linewidth=0.4, alpha=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(title="JPEGs of", frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _processor_seconds(way: Hasher, file: Path) -> float:
    # Not the thread's: OpenCV has threads of its own.
    begun = time.process_time()
    way.hash(file)
    return time.process_time() - begun


def _bits_off(vector: bytes | None, reference: bytes | None) -> int | None:
    if vector is None or reference is None:
        return None
    return hamming(vector, reference)


def _rate(pool: ThreadPoolExecutor, hasher: Callable[[bytes], bytes], bodies: Sequence[bytes]) -> float:
    begun = time.perf_counter()
    for _ in pool.map(hasher, bodies):
        pass
    return len(bodies) / (time.perf_counter() - begun)


SECTION: Final = Section("hashing", "our hash beside other libraries', and every bit compared", run, plot)
