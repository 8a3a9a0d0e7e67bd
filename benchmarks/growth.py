"""What an image costs when the collection is large, beside one that was empty, and what a row takes.

Two workers' parts in this process ingest by turns, each into a collection of its own, on the same servers.
"""

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Final
from uuid import uuid4

import structlog
from pymilvus import MilvusClient
from rich.console import Console

from benchmarks import usage
from benchmarks.comparison import interleave
from benchmarks.loads import MIDDLE, SMALL, NotIngested, bodies
from benchmarks.section import Section, Table, Value
from benchmarks.vectors import TENANTS, Vectors, collection, fill
from contract import VERSION
from devstack import Stack
from producer.app import make_app
from producer.consumption import Consumption
from producer.ledger import Batch
from producer.publisher import Publisher
from worker.runtime import Runtime
from worker.settings import WorkerSettings

AIM: Final = 0.95  # of issue 4: the rate with a full collection, of that with an empty one
_ROWS: Final = 1_000_000
_QUICK_ROWS: Final = 20_000
# The newest company: none of the rows that are there before are its own, but its partition has its share of them.
_COMPANY_ID: Final = TENANTS
_EMPTY: Final = "empty"
_FULL: Final = "full"
_MILVUS: Final = "milvus"
_THREADS: Final = 16


@dataclass(frozen=True, slots=True)
class Block:
    """A block of batches of new pictures.

    Attributes:
        name: of the pictures.
        pixels: of each; None for thumbnails of 300 pixels.
        size: events in a batch.
        batches: in a block.
        pairs: of blocks, one with each collection.
    """

    name: str
    pixels: int | None
    size: int
    batches: int
    pairs: int

    @property
    def images(self) -> int:
        """In a block."""
        return self.size * self.batches


@dataclass(frozen=True, slots=True)
class Spent:
    """What a block took, seconds.

    Attributes:
        wall: from the beginning to the end.
        worker: processor time of this process.
        milvus: processor time of Milvus.
    """

    wall: float
    worker: float
    milvus: float


def blocks(*, quick: bool) -> Iterator[Block]:
    """Thumbnails, of which Milvus takes the largest part, and pictures of the usual size."""
    pairs = 2 if quick else 8
    yield Block(SMALL, None, size=100, batches=2 if quick else 16, pairs=pairs)
    yield Block(MIDDLE, 2_000_000, size=20, batches=2 if quick else 12, pairs=pairs)


class Worker:
    """A worker's parts in this process, with a collection of its own."""

    def __init__(self, settings: WorkerSettings, milvus: int, meta_ids: "count[int]") -> None:
        app = make_app("lookalike-benchmark", settings)
        self.runtime = Runtime(settings, lambda ledger: Publisher(app, ledger), Consumption(app))
        self._milvus = milvus
        self._threads = ThreadPoolExecutor(_THREADS)
        self._meta_ids = meta_ids

    def close(self) -> None:
        """Close every connection."""
        self._threads.shutdown()
        self.runtime.close()

    def ingest(self, block: Block, keys: Sequence[str]) -> Spent:
        """Ingest new pictures of one tenant."""
        messages = {str(uuid4()): self._events(block.size, keys) for _ in range(block.batches)}
        for batch_id, events in messages.items():
            self.runtime.ledger.record(Batch(batch_id, events), time.time())  # that cost is the producer's
        milvus, cpu, wall = usage.cpu_seconds(self._milvus), time.process_time(), time.perf_counter()
        decoded = [{"events": events, "version": VERSION} for events in messages.values()]
        for result in self._threads.map(self.runtime.batches, messages, decoded):
            if result["indexed"] != block.size:
                raise NotIngested(f"of {block.size} pictures: {result}")
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return Spent(wall, cpu, usage.cpu_seconds(self._milvus) - milvus)

    def _events(self, size: int, keys: Sequence[str]) -> list[dict[str, str | int]]:
        return [
            {"object_key": keys[number % len(keys)], "meta_id": number, "company_id": _COMPANY_ID}
            for number in (next(self._meta_ids) for _ in range(size))
        ]


def run(console: Console, quick: bool) -> Iterator[Table]:
    """Fill a collection, and measure beside it."""
    rows = _QUICK_ROWS if quick else _ROWS
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with ExitStack() as opened:
        folder = Path(opened.enter_context(TemporaryDirectory(prefix="lookalike-benchmark-")))
        stack = opened.enter_context(Stack(folder))
        os.environ.update(stack.env)
        settings = {name: WorkerSettings.from_env().model_copy(update={"collection": name}) for name in (_EMPTY, _FULL)}
        milvus, data = stack.pid(_MILVUS), folder / _MILVUS
        before = (usage.resident(milvus), usage.disk(data))
        with console.status("") as status, closing(MilvusClient(settings[_FULL].milvus_uri, dedicated=True)) as client:
            fill(client, collection(settings[_FULL]), Vectors.random(rows), 0, lambda n: status.update(f"{n:,} rows"))
        yield footprint(rows, before, (usage.resident(milvus), usage.disk(data)))
        meta_ids = count(1)
        empty, full = (
            opened.enter_context(closing(Worker(settings[name], milvus, meta_ids))) for name in (_EMPTY, _FULL)
        )
        found = {}
        for block in blocks(quick=quick):
            with console.status(block.name):
                found[block] = _measure(block, empty, full)
        yield costs(found, rows)
        yield rates(found)


def _measure(block: Block, empty: Worker, full: Worker) -> list[tuple[Spent, Spent]]:
    pictures = bodies(block.pixels)
    keys = [f"{block.name.replace(' ', '-')}/{number}.jpg" for number in range(len(pictures))]
    for key, body in zip(keys, pictures, strict=True):
        empty.runtime.objects.put(key, body)
    return interleave(lambda: empty.ingest(block, keys), lambda: full.ingest(block, keys), block.pairs)


def footprint(rows: int, before: tuple[float, float], after: tuple[float, float]) -> Table:
    """Give what rows take of Milvus' memory and disk; `before` and `after` are MB of either."""
    told: list[dict[str, Value]] = [
        {
            "of": of,
            "before, MB": was,
            "after, MB": now,
            "rows": rows,
            "bytes a row": (now - was) * 1e6 / rows,
        }
        for of, was, now in zip(("memory", "disk"), before, after, strict=True)
    ]
    return Table(
        "footprint",
        "What rows take of Milvus",
        told,
        [
            "Memory is that of the whole server, right after the rows were written; Go gives it back late.",
            "Disk has the write-ahead log beside the segments, and segments that compaction has replaced, for a time.",
        ],
    )


def costs(found: Mapping[Block, Sequence[tuple[Spent, Spent]]], rows: int) -> Table:
    """Give what 1,000 images cost with either collection."""
    told: list[dict[str, Value]] = []
    for block, pairs in found.items():
        factor = 1000 / block.images
        for column, name in enumerate((_EMPTY, _FULL)):
            spent = [pair[column] for pair in pairs]
            told.append(
                {
                    "pictures": block.name,
                    "collection": name,
                    "time": factor * median(one.wall for one in spent),
                    "worker's CPU": factor * median(one.worker for one in spent),
                    "Milvus' CPU": factor * median(one.milvus for one in spent),
                }
            )
    most = sum(block.images * (len(pairs) + 1) for block, pairs in found.items())
    return Table(
        "costs",
        f"Seconds per 1,000 images, with {rows:,} rows in the collection and with none, medians",
        told,
        [f"What is measured grows the empty collection to {most:,} rows."],
    )


def rates(found: Mapping[Block, Sequence[tuple[Spent, Spent]]]) -> Table:
    """Give the rate with the full collection, of that with the empty one, beside the aim."""
    told: list[dict[str, Value]] = []
    for block, pairs in found.items():
        low, middle, high = quantiles([empty.wall / full.wall for empty, full in pairs], n=4, method="inclusive")
        told.append({"pictures": block.name, "rate": middle, "lower quartile": low, "upper": high, "aim": AIM})
    return Table("rates", "The rate with the full collection, of that with the empty one", told)


SECTION: Final = Section("growth", "what an image costs with a million rows in the collection", run)
