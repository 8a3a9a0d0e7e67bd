"""Images a second from the first enqueue to the last settlement, beside the article's way and the bare hash.

Everything runs on one stack: the ways by turns, each on the same objects. All of it shares this machine's cores, the
servers too, so the share of the limit (two cores that only decode and hash) is what is left after them.
"""

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import redis
from matplotlib.figure import Figure
from rich.console import Console

from benchmarks import usage
from benchmarks.loads import (
    ARTICLE,
    HUGE,
    LARGE,
    MIDDLE,
    PRODUCER,
    QUICK_SIZES,
    SIZES,
    Article,
    Passage,
    Rig,
    Size,
    bodies,
)
from benchmarks.section import Section, Table, Value
from contract import INGEST_QUEUE
from devstack import Stack, Workers
from producer import Client
from producer.ledger import Ledger
from worker.adapters.claims import RedisClaims
from worker.core.hashing import create_vector
from worker.testing import make_row

ONE: Final = "1 process"
ONE_DECODER: Final = "1 process, 1 decoder"
TWO: Final = "2 processes"
WAYS: Final = (ARTICLE, ONE, ONE_DECODER, TWO)
_ROUNDS: Final = 3
_CORES: Final = 2
_HUGE_PIXELS: Final = 100_000_000
_HUGE_LIMIT: Final = 120_000_000
_BACKLOG_BATCHES: Final = 100
_BATCH: Final = 100
# What issue 4 aims at.
HASH_SHARE: Final = "bare hash, of the workers' CPU"
LIMIT_SHARE: Final = "images/s, of the limit"
AGAINST_ARTICLE: Final = "images/s, times the article's"
SCALING: Final = f"images/s, times {ONE_DECODER}"
MEMORY: Final = "peak memory of a process, MB"
AIMS: Final[Mapping[tuple[str, str], float]] = {
    (HASH_SHARE, LARGE): 0.90,
    (HASH_SHARE, MIDDLE): 0.75,
    (LIMIT_SHARE, LARGE): 0.80,
    (LIMIT_SHARE, MIDDLE): 0.60,
    (AGAINST_ARTICLE, LARGE): 4.5,
    (AGAINST_ARTICLE, MIDDLE): 4.0,
    (SCALING, LARGE): 1.6,
    (MEMORY, LARGE): 300.0,
    (MEMORY, HUGE): 600.0,
}
_PROGRAMS: Final = (INGEST_QUEUE, "valkey", "milvus", "oss", PRODUCER)


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
        waiting = _backlog(stack, client)
        two = stack.add_workers(INGEST_QUEUE, processes=2)
        decoder = stack.add_workers(INGEST_QUEUE, variables={"LOOKALIKE_DECODERS": "1"})
        article = opened.enter_context(Article.running(stack.env))
        rig = Rig(stack, client, article, {ARTICLE: [], ONE: two[:1], ONE_DECODER: decoder, TWO: two})
        for size in sizes:
            rig.put(size.name, pictures[size.name], size.keys)
        found, peaks = _measure(rig, sizes, pictures, rounds, status.update)
        status.update("memory")
        before, peaks[HUGE] = _huge(rig, bodies(_HUGE_PIXELS, most=1))
    yield rates(found)
    yield processor_time(found)
    yield memory(peaks, before)
    yield waiting
    yield aims(found, peaks)


def _measure(
    rig: Rig, sizes: Sequence[Size], pictures: Mapping[str, Sequence[bytes]], rounds: int, tell: Callable[[str], None]
) -> tuple[dict[str, Loads], dict[str, float]]:
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
    size = Size(HUGE, _HUGE_PIXELS, keys=1, events=1, batch=1, article=0, hashed=0)
    rig.put(size.name, pictures, size.keys)
    pid = rig.stack.pid(names[0])
    before = usage.resident(pid)
    rig.run(size, size.events, batch=size.batch)
    return before, usage.peak(pid)


def _backlog(stack: Stack, client: Client) -> Table:
    """Enqueue what nobody takes, remember rows, and see what that takes in Valkey; then throw it away."""
    with closing(Ledger.from_url(stack.env["LOOKALIKE_LEDGER_URL"])) as ledger:
        valkey, ids = ledger.connection, range(_BACKLOG_BATCHES * _BATCH)
        key = "companies/1/pictures/{:08}.jpg".format
        empty = _memory(valkey)
        client.enqueue_many(
            ({"object_key": key(number), "meta_id": number, "company_id": 1} for number in ids), batch_size=_BATCH
        )
        enqueued = _memory(valkey)
        with closing(redis.Redis.from_url(stack.env["LOOKALIKE_BROKER_URL"])) as broker:
            queue = int(broker.memory_usage(INGEST_QUEUE, samples=0) or 0)
        claims = RedisClaims(valkey, collection="images", lock_seconds=1)
        for first in range(0, len(ids), _BATCH):
            rows = [make_row(n, object_key=key(n), content_crc=n, indexed_at=n) for n in ids[first : first + _BATCH]]
            claims.claim("token", [row.id for row in rows])
            claims.confirm("token", rows)
        remembered = _memory(valkey) - enqueued
        valkey.flushall()
    return backlog(len(ids), queue, enqueued - empty - queue, remembered)


def _memory(valkey: "redis.Redis") -> int:
    return int(valkey.info("memory")["used_memory"])


def backlog(events: int, queue: int, ledger: int, remembered: int) -> Table:
    """Give the bytes that each of so many events takes in Valkey."""
    told = {
        f"an outstanding event, in messages of {_BATCH}: queue": queue,
        "the same event: ledger": ledger,
        "a picture that was indexed within the last minute: claims": remembered,
    }
    rows: list[dict[str, Value]] = [{"what": what, "bytes": found / events} for what, found in told.items()]
    return Table("backlog", "Memory of Valkey", rows, ["Keys of objects have 33 characters."])


def rates(found: Mapping[str, Loads]) -> Table:
    """Images a second, and which part that is of what cores would do that only hash."""
    rows: list[dict[str, Value]] = []
    for size, loads in found.items():
        for way in WAYS:
            every = [passage.rate for passage in loads.passages[way]]
            rows.append(
                {
                    "pictures": size,
                    "way": way,
                    "images/s": loads.rate(way),
                    "least": min(every),
                    "most": max(every),
                    "of the limit": loads.rate(way) / loads.limit(),
                }
            )
    limit = (
        f"The limit is the rate of {_CORES} cores that hash pictures from memory and do nothing else; the servers and "
        "the producer run on the same cores."
    )
    decoders = "A process decodes as many pictures at once as there are cores, unless it has 1 decoder."
    return Table("rates", "Images a second, medians of loads", rows, [limit, decoders])


def processor_time(found: Mapping[str, Loads]) -> Table:
    """Whose processor time it is."""
    rows: list[dict[str, Value]] = [
        {
            "pictures": size,
            "way": way,
            "hash": 1000 * median(loads.hashing),
            **{program: loads.cpu(way, program) for program in _PROGRAMS},
        }
        for size, loads in found.items()
        for way in WAYS
    ]
    return Table(
        "cpu",
        "Processor time, seconds per 1,000 images, medians of loads",
        rows,
        [
            "hash: of one thread, from memory. ingest: all of the workers, or the article's process.",
            "The kernel counts in steps of 10 ms.",
        ],
    )


def memory(peaks: Mapping[str, float], before: float) -> Table:
    """The most memory that a worker process has had; `before` is what the one with the huge picture began with, MB."""
    return Table(
        "memory",
        "Peak memory of an ingest process (VmHWM)",
        [{"pictures": size, "peak, MB": found} for size, found in peaks.items()],
        [
            f"The huge picture is one, in a new process that had {before:.0f} MB before it.",
            "The others follow each other: a process keeps what it has had.",
        ],
    )


def aims(found: Mapping[str, Loads], peaks: Mapping[str, float]) -> Table:
    """What was aimed at, and what came of it, with two processes."""
    measured: dict[tuple[str, str], float] = {(MEMORY, size): peak for size, peak in peaks.items()}
    for size, loads in found.items():
        measured[HASH_SHARE, size] = loads.hash_share(TWO)
        measured[LIMIT_SHARE, size] = loads.rate(TWO) / loads.limit()
        measured[AGAINST_ARTICLE, size] = loads.rate(TWO) / loads.rate(ARTICLE)
        measured[SCALING, size] = loads.rate(TWO) / loads.rate(ONE_DECODER)
    rows: list[dict[str, Value]] = [
        {"what": what, "pictures": size, "measured": measured[what, size], "aim": aim}
        for (what, size), aim in AIMS.items()
    ]
    return Table("aims", f"Aims, with {TWO}", rows)


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
