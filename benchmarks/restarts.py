"""What a rolling restart of the ingest workers costs beyond the time in which each of them is away.

Events are enqueued and settled, with a restart of one worker after the other meanwhile and without, by turns. While one
of W workers is away, 1/W of their work is left undone: that much a restart must cost. What it costs beyond that would
be work thrown away, or waiting.
"""

import argparse
import os
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from rich.console import Console

from benchmarks.comparison import interleave
from benchmarks.photos import small
from benchmarks.report import save
from contract import INGEST_QUEUE
from devstack import Stack, Workers
from producer import Client
from worker.adapters.oss import OssObjectStore
from worker.settings import WorkerSettings

RESULTS: Final = Path(__file__).parent / "results" / "restarts.json"
_EVENTS: Final = 6000
_PAIRS: Final = 3
_BATCH: Final = 20
_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Passage:
    """One load of events, from the first enqueue until nothing is outstanding.

    Attributes:
        seconds: that it took.
        away: seconds in which a worker was away, from SIGTERM until it was ready again, of all workers together.
        dead: dead letters.
    """

    seconds: float
    away: float
    dead: int


@dataclass(frozen=True, slots=True)
class Rolling:
    """Medians, in seconds.

    Attributes:
        plain: a load without a restart.
        restarted: a load with one of every worker.
        away: how long workers were away, together.
        workers: how many there are.
        beyond: what the restarts cost beyond the share of the work that the absent would have done.
    """

    plain: float
    restarted: float
    away: float
    workers: int
    beyond: float

    @classmethod
    def of(cls, pairs: Sequence[tuple[Passage, Passage]], workers: int) -> "Rolling":
        """Sum up pairs, each of a load with restarts and one without."""
        return cls(
            plain=median(plain.seconds for _, plain in pairs),
            restarted=median(restarted.seconds for restarted, _ in pairs),
            away=median(restarted.away for restarted, _ in pairs),
            workers=workers,
            beyond=median(restarted.seconds - plain.seconds - restarted.away / workers for restarted, plain in pairs),
        )


class Load:
    """Makes loads, each of new pictures."""

    def __init__(self, stack: Stack, client: Client, keys: Sequence[str]) -> None:
        self._stack = stack
        self._client = client
        self._keys = keys
        self._ids = count(1)

    @property
    def workers(self) -> list[str]:
        """The programs that are restarted."""
        return [name for name in self._stack.programs if name.startswith(INGEST_QUEUE)]

    def run(self, events: int, *, restart: bool) -> Passage:
        """Enqueue events, restart the workers meanwhile or not, and wait until all have ended."""
        ids = [next(self._ids) for _ in range(events)]
        made = [{"object_key": self._keys[n % len(self._keys)], "meta_id": n, "company_id": 1} for n in ids]
        begun, away = time.perf_counter(), 0.0
        self._client.enqueue_many(made, batch_size=_BATCH)
        for worker in self.workers if restart else ():
            stopped = time.perf_counter()
            self._stack.restart(worker)
            away += time.perf_counter() - stopped
        while self._client.outstanding():
            time.sleep(_POLL_SECONDS)
        return Passage(time.perf_counter() - begun, away, self._client.dead.count())


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.restarts", description=__doc__)
    parser.add_argument("--events", type=int, default=_EVENTS, help=f"in a load ({_EVENTS:,})")
    parser.add_argument("--pairs", type=int, default=_PAIRS, help=f"of loads, with restarts and without ({_PAIRS})")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help="where results go")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write down."""
    given = parse(arguments)
    with (
        TemporaryDirectory(prefix="lookalike-benchmark-") as directory,
        Stack(Path(directory), workers=Workers(processes=2, flower=False)) as stack,
    ):
        os.environ.update(stack.env)
        pictures = list(small())
        with closing(OssObjectStore.from_settings(WorkerSettings.from_env())) as bucket:
            for number, body in enumerate(pictures):
                bucket.put(f"{number}.jpg", body)
        with Client.from_env() as client:
            load = Load(stack, client, [f"{number}.jpg" for number in range(len(pictures))])
            pairs = interleave(
                lambda: load.run(given.events, restart=True), lambda: load.run(given.events, restart=False), given.pairs
            )
            found = Rolling.of(pairs, len(load.workers))
    Console().print(
        f"{given.events:,} events: {found.plain:.1f} s; with a restart of each of {found.workers} workers "
        f"{found.restarted:.1f} s. Workers were away for {found.away:.1f} s, which leaves {found.beyond:+.1f} s beyond "
        f"their share. Dead letters: {max(one.dead for pair in pairs for one in pair)}"
    )
    save(given.out, {"rolling": asdict(found), "pairs": [[asdict(one) for one in pair] for pair in pairs]})


if __name__ == "__main__":
    main()
