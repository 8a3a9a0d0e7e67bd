"""Loads of pictures on a real stack: through the queue and worker processes, and the article's way."""

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count, cycle, islice
from typing import IO, Final, Self

from benchmarks import photos, usage
from contract import INGEST_QUEUE, LookalikeError
from devstack import Stack
from producer import Client
from worker.adapters.oss import OssObjectStore
from worker.settings import WorkerSettings

LARGE: Final = "12 MP"
MIDDLE: Final = "2 MP"
SMALL: Final = "300 px"
HUGE: Final = "100 MP"
ARTICLE: Final = "article"
PRODUCER: Final = "producer"
_COMPANY_ID: Final = 1
_POLL_SECONDS: Final = 0.02
_WARM_EVENTS: Final = 64


class NotIngested(LookalikeError):
    """Events of a load became dead letters: what was measured is something else."""


@dataclass(frozen=True, slots=True)
class Size:
    """Pictures of one size.

    Attributes:
        name: as the tables have it.
        pixels: of each; None for thumbnails.
        keys: objects in the bucket.
        events: in a load through the queue.
        batch: events in a message.
        article: pictures in a load of the article's way.
        hashed: how often each picture is hashed from memory.
    """

    name: str
    pixels: int | None
    keys: int
    events: int
    batch: int
    article: int
    hashed: int


# A load takes some seconds, and its messages are so many that two processes share them evenly.
SIZES: Final = (
    Size(LARGE, 12_000_000, keys=60, events=240, batch=5, article=48, hashed=2),
    Size(MIDDLE, 2_000_000, keys=240, events=960, batch=20, article=240, hashed=4),
    Size(SMALL, None, keys=960, events=4800, batch=100, article=960, hashed=20),
)
QUICK_SIZES: Final = (
    Size(LARGE, 12_000_000, keys=12, events=24, batch=2, article=4, hashed=1),
    Size(MIDDLE, 2_000_000, keys=24, events=96, batch=8, article=24, hashed=1),
    Size(SMALL, None, keys=120, events=480, batch=40, article=96, hashed=1),
)


def bodies(pixels: int | None, most: int | None = None) -> list[bytes]:
    """JPEGs of so many pixels, each of another photo; None for those of 300 pixels in width or height."""
    return list(islice(photos.within(300) if pixels is None else photos.of_pixels(pixels), most))


@dataclass(frozen=True, slots=True)
class Passage:
    """One load, from the first enqueue until nothing is outstanding.

    Attributes:
        images: how many.
        seconds: that it took.
        cpu: processor time of each program, seconds.
    """

    images: int
    seconds: float
    cpu: Mapping[str, float]

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.seconds


class Article:
    """The article's way, in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    @classmethod
    @contextmanager
    def running(cls, environment: Mapping[str, str]) -> Iterator[Self]:
        """Start it; it ends with the block."""
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.article"],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            yield cls(process)

    def ingest(self, keys: Sequence[str]) -> Mapping[str, float]:
        """Ingest pictures, one after the other: `seconds` that it took, and `cpu` seconds."""
        asked, answers = _pipes(self._process)
        asked.write(json.dumps(list(keys)) + "\n")
        asked.flush()
        answer = answers.readline()
        if not answer:
            raise NotIngested("the article's process has ended")
        told: dict[str, float] = json.loads(answer)
        return told


def _pipes(process: "subprocess.Popen[str]") -> tuple[IO[str], IO[str]]:
    if process.stdin is None or process.stdout is None:
        raise NotIngested("the article's process has no pipes")
    return process.stdin, process.stdout


class Rig:
    """A stack whose workers run by turns, and the article's process beside them, on the same servers and objects.

    Args:
        stack: with workers, but none of the queue of uploads.
        client: of the stack.
        article: of the stack.
        ways: the worker programs of each way; those of a way that is not measured do not run.
    """

    def __init__(self, stack: Stack, client: Client, article: Article, ways: Mapping[str, Sequence[str]]) -> None:
        self.stack = stack
        self._client = client
        self._article = article
        self._ways = ways
        self._ids = count(1)
        self._keys: dict[str, list[str]] = defaultdict(list)
        self._running = {name for names in ways.values() for name in names}

    def put(self, name: str, found: Sequence[bytes], keys: int) -> None:
        """Put so many objects into the bucket: the pictures in turn, each under a key of its own."""
        with closing(OssObjectStore.from_settings(WorkerSettings.from_env())) as bucket:
            for number, body in enumerate(islice(cycle(found), keys)):
                key = f"{name.replace(' ', '-')}/{number}.jpg"
                bucket.put(key, body)
                self._keys[name].append(key)

    def switch(self, way: str, warm: Size) -> None:
        """Have the programs of a way run, and no others, and send them some pictures, so that all is connected."""
        wanted = set(self._ways[way])
        self.stack.stop(*sorted(self._running - wanted))
        if missing := sorted(wanted - self._running):
            self.stack.start(*missing)
        self._running = wanted
        if wanted:
            self.run(warm, _WARM_EVENTS, batch=1)

    def stop_all(self) -> None:
        """Have no worker of any way run."""
        self.stack.stop(*sorted(self._running))
        self._running = set()

    def pids(self) -> list[int]:
        """The processes of the way that runs."""
        return [self.stack.pid(name) for name in sorted(self._running)]

    def run(self, size: Size, events: int, *, batch: int) -> Passage:
        """Enqueue new pictures, and wait until all have ended."""
        ids, keys = [next(self._ids) for _ in range(events)], cycle(self._keys[size.name])
        made = [{"object_key": next(keys), "meta_id": number, "company_id": _COMPANY_ID} for number in ids]
        dead, before = self._client.dead.count(), usage.cpu_by_program(self.stack)
        begun, cpu = time.perf_counter(), time.process_time()
        self._client.enqueue_many(made, batch_size=batch)
        while self._client.outstanding():
            time.sleep(_POLL_SECONDS)
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        used = {name: after - before.get(name, 0.0) for name, after in usage.cpu_by_program(self.stack).items()}
        if died := self._client.dead.count() - dead:
            raise NotIngested(f"{died} of {events} events")
        return Passage(events, seconds, {**used, PRODUCER: cpu})

    def run_article(self, size: Size) -> Passage:
        """The same the article's way."""
        before = usage.cpu_by_program(self.stack)
        told = self._article.ingest(list(islice(cycle(self._keys[size.name]), size.article)))
        used = {name: after - before.get(name, 0.0) for name, after in usage.cpu_by_program(self.stack).items()}
        return Passage(size.article, told["seconds"], {**used, INGEST_QUEUE: told["cpu"]})
