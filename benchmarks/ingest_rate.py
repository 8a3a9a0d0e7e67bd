"""Images a second from the first enqueue to the last settlement, beside the article's way and the bare hash.

Everything runs on one stack: the ways by turns, each on the same objects. All of it shares this machine's cores, the
servers too, so the share of the limit (two cores that only decode and hash) is what is left after them.
"""

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import redis
from matplotlib.figure import Figure
from rich.console import Console

from benchmarks import usage
from benchmarks.loads import ARTICLE, PRODUCER, QUICK_SIZES, SIZES, Article, Passage, Rig, Size, bodies
from benchmarks.section import Section, Table, Value
from contract import INGEST_QUEUE
from devstack import Stack, Workers
from producer import Client
from worker.core.hashing import create_vector

ONE: Final = "one process"
ONE_DECODER: Final = "one process, one decoder"
TWO: Final = "two processes"
WAYS: Final = (ARTICLE, ONE, ONE_DECODER, TWO)
_ROUNDS: Final = 3
_CORES: Final = 2
_HUGE_PIXELS: Final = 100_000_000
_HUGE_LIMIT: Final = 120_000_000
_BACKLOG_BATCHES: Final = 100
_BATCH: Final = 100
# What issue 4 aims at, for 12 and 2 megapixels.
AIMS_HASH_SHARE: Final[Mapping[str, float]] = {"12 megapixels": 0.90, "2 megapixels": 0.75}
AIMS_LIMIT_SHARE: Final[Mapping[str, float]] = {"12 megapixels": 0.80, "2 megapixels": 0.60}
AIMS_AGAINST_ARTICLE: Final[Mapping[str, float]] = {"12 megapixels": 4.5, "2 megapixels": 4.0}
AIMS_SCALING: Final[Mapping[str, float]] = {"12 megapixels": 1.6}
AIM_MEMORY: Final = 300.0
AIM_HUGE_MEMORY: Final = 600.0
_SERVERS: Final = (INGEST_QUEUE, "valkey", "milvus", "oss", PRODUCER)


@dataclass(slots=True)
class Loads:
    """What was measured of one size.

    Attributes:
        hashing: processor time of the bare hash, seconds an image, one value a round.
        passages: by way, one a round.
    """

    hashing: list[float] = field(default_factory=list)
    passages: dict[str, list[Passage]] = field(default_factory=lambda: defaultdict(list))

    def rate(self, way: str) -> float:
        """Images a second, the median."""
        return median(passage.rate for passage in self.passages[way])

    def limit(self) -> float:
        """Images a second of cores that do nothing but decode and hash."""
        return _CORES / median(self.hashing)

    def cpu(self, way: str, program: str) -> float:
        """Processor time of a program, seconds per 1,000 images, the median."""
        return 1000 * median(one.cpu.get(program, 0.0) / one.images for one in self.passages[way])

    def hash_share(self, way: str) -> float:
        """Which part of the workers' processor time the bare hash would take."""
        return 1000 * median(self.hashing) / self.cpu(way, INGEST_QUEUE)


def order(rounds: int) -> Iterator[str]:
    """Give the ways in the order in which they are measured: forth and back, so that a drift meets all alike."""
    for number in range(rounds):
        yield from WAYS if number % 2 == 0 else reversed(WAYS)


def run(console: Console, quick: bool) -> Iterator[Table]:
    """Measure the ways by turns, then memory."""
    sizes, rounds = (QUICK_SIZES, 1) if quick else (SIZES, _ROUNDS)
    with console.status("pictures") as status, ExitStack() as opened:
        pictures = {size.name: bodies(size.pixels) for size in sizes}
        status.update("a stack")
        folder = Path(opened.enter_context(TemporaryDirectory(prefix="lookalike-benchmark-")))
        stack = opened.enter_context(Stack(folder, workers=Workers(processes=0, flower=False)))
        os.environ.update(stack.env)
        client = opened.enter_context(Client.from_env())
        backlog = _backlog_table(stack, client)
        two = stack.add_workers(INGEST_QUEUE, processes=2)
        decoder = stack.add_workers(INGEST_QUEUE, variables={"LOOKALIKE_DECODERS": "1"})
        article = opened.enter_context(Article.running(stack.env))
        rig = Rig(stack, client, article, {ARTICLE: [], ONE: two[:1], ONE_DECODER: decoder, TWO: two})
        for size in sizes:
            rig.put(size.name, pictures[size.name], size.keys)
        found, peaks = _measure(rig, sizes, pictures, rounds, status.update)
        status.update("memory")
        huge = _huge(rig, bodies(_HUGE_PIXELS)[:1])
    yield rates(found)
    yield processor_time(found)
    yield memory(peaks, huge)
    yield backlog


def _measure(
    rig: Rig, sizes: Sequence[Size], pictures: Mapping[str, Sequence[bytes]], rounds: int, tell: Callable[[str], None]
) -> tuple[Mapping[str, Loads], Mapping[str, float]]:
    """Measure all sizes in all ways: the loads of each size, and the peak memory of a worker with each, MB."""
    found: dict[str, Loads] = {size.name: Loads() for size in sizes}
    peaks: dict[str, float] = {}
    for way in order(rounds):
        tell(way)
        rig.switch(way, sizes[-1])
        for size in sizes:
            tell(f"{way}: {size.name}")
            loads = found[size.name]
            loads.hashing.append(hash_seconds(pictures[size.name], size.hashed))
            workers = rig.pids()
            for pid in workers:
                usage.reset_peak(pid)
            passage = rig.run_article(size) if way == ARTICLE else rig.run(size, size.events, batch=size.batch)
            loads.passages[way].append(passage)
            if way == TWO:
                peaks[size.name] = max([peaks.get(size.name, 0.0), *map(usage.peak, workers)])
    return found, peaks


def hash_seconds(pictures: Sequence[bytes], times: int) -> float:
    """Processor time of one thread for the hash of a picture from memory, the mean of these pictures, seconds."""
    begun = time.thread_time()
    for _ in range(times):
        for body in pictures:
            create_vector(body)
    return (time.thread_time() - begun) / (times * len(pictures))


def _huge(rig: Rig, pictures: Sequence[bytes]) -> tuple[float, float]:
    """Have a new worker ingest one huge picture: the memory that it has before, and its peak, MB."""
    names = rig.stack.add_workers(INGEST_QUEUE, variables={"LOOKALIKE_MAX_IMAGE_PIXELS": str(_HUGE_LIMIT)})
    rig.stop_all()
    rig.stack.start(*names)
    size = Size("100 megapixels", _HUGE_PIXELS, keys=1, events=1, batch=1, article=0, hashed=0)
    rig.put(size.name, pictures, size.keys)
    pid = rig.stack.pid(names[0])
    before = usage.resident(pid)
    rig.run(size, size.events, batch=size.batch)
    return before, usage.peak(pid)


def _backlog_table(stack: Stack, client: Client) -> Table:
    """Enqueue what nobody takes, and see what it takes in Valkey; then throw it away."""
    with redis.Redis.from_url(stack.env["LOOKALIKE_BROKER_URL"]) as broker:
        before = broker.info("memory")["used_memory"]
        made = [
            {"object_key": f"companies/1/pictures/{number:08}.jpg", "meta_id": number, "company_id": 1}
            for number in range(_BACKLOG_BATCHES * _BATCH)
        ]
        client.enqueue_many(made, batch_size=_BATCH)
        used = broker.info("memory")["used_memory"] - before
        queue = broker.memory_usage(INGEST_QUEUE, samples=0) or 0
        broker.flushall()
    events = len(made)
    row = {
        "events": events,
        "in a message": _BATCH,
        "bytes an event": used / events,
        "in the queue": queue / events,
        "in the ledger": (used - queue) / events,
    }
    return Table("backlog", "Memory of Valkey for events that no worker has taken", [row], ["Keys have 33 characters."])


def rates(found: Mapping[str, Loads]) -> Table:
    """Images a second, beside the article's way and beside cores that only hash."""
    rows: list[dict[str, Value]] = []
    for size, loads in found.items():
        for way in WAYS:
            every = [passage.rate for passage in loads.passages[way]]
            ours, two = way != ARTICLE, way == TWO
            rows.append(
                {
                    "pictures": size,
                    "way": way,
                    "images/s": loads.rate(way),
                    "least": min(every),
                    "most": max(every),
                    "times the article's": loads.rate(way) / loads.rate(ARTICLE) if ours else None,
                    "aim, times": AIMS_AGAINST_ARTICLE.get(size) if two else None,
                    "times one process": loads.rate(way) / loads.rate(ONE_DECODER) if two else None,
                    "aim, of one": AIMS_SCALING.get(size) if two else None,
                    "of the limit": loads.rate(way) / loads.limit(),
                    "aim, of it": AIMS_LIMIT_SHARE.get(size) if two else None,
                }
            )
    return Table(
        "rates",
        "Images a second, medians of loads",
        rows,
        [
            (
                f"The limit is the rate of {_CORES} cores that hash pictures from memory and do nothing else; the "
                "servers and the producer run on the same cores."
            ),
            (
                "A process decodes as many pictures at once as there are cores, unless it has one decoder: that one is "
                "what two processes are compared to."
            ),
        ],
    )


def processor_time(found: Mapping[str, Loads]) -> Table:
    """Whose processor time it is."""
    rows: list[dict[str, Value]] = []
    for size, loads in found.items():
        for way in WAYS:
            told = {program: loads.cpu(way, program) for program in _SERVERS}
            ours = way != ARTICLE
            rows.append(
                {
                    "pictures": size,
                    "way": way,
                    "bare hash": 1000 * median(loads.hashing),
                    **told,
                    "hash's share": loads.hash_share(way) if ours else None,
                    "aim": AIMS_HASH_SHARE.get(size) if way == TWO else None,
                }
            )
    return Table(
        "cpu",
        "Processor time, seconds per 1,000 images, medians of loads",
        rows,
        [
            "The bare hash is that of one thread, from memory; its share is of the ingest workers' processor time.",
            f"{INGEST_QUEUE}: the workers, or the article's process. The kernel counts in steps of 10 ms.",
        ],
    )


def memory(peaks: Mapping[str, float], huge: tuple[float, float]) -> Table:
    """The most memory that a worker process has had."""
    rows: list[dict[str, Value]] = [
        {"pictures": size, "peak, MB": found, "aim, MB": AIM_MEMORY if size == "12 megapixels" else None}
        for size, found in peaks.items()
    ]
    rows.append({"pictures": "100 megapixels", "peak, MB": huge[1], "aim, MB": AIM_HUGE_MEMORY})
    return Table(
        "memory",
        "Peak memory of an ingest process (VmHWM)",
        rows,
        [f"One picture of 100 megapixels, in a new process that had {huge[0]:.0f} MB before it."],
    )


def plot(tables: Mapping[str, Table]) -> Figure:
    """Bars: images a second as a share of the limit, by size and way."""
    rows = tables["rates"].rows
    sizes = list(dict.fromkeys(str(row["pictures"]) for row in rows))
    figure = Figure(figsize=(8, 4))
    axes = figure.subplots()
    width = 1 / (len(WAYS) + 1)
    for number, way in enumerate(WAYS):
        shares = [float(row["of the limit"] or 0) for row in rows if row["way"] == way]
        axes.bar([place + number * width for place in range(len(sizes))], shares, width, label=way)
    axes.set_xticks([place + width * (len(WAYS) - 1) / 2 for place in range(len(sizes))], sizes)
    axes.set_ylabel(f"share of {_CORES} cores that only hash")
    axes.set_title("Images a second, from enqueue to settlement")
    axes.legend()
    return figure


SECTION: Final = Section("ingest", "images a second through the queue, beside the article's way", run, plot)
