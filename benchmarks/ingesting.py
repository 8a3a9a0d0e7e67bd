"""What ledger, leases and the memory of what was just written cost a worker, in a process like a worker's.

Celery is left out: its own cost for each message would only make the share of the guarantees smaller.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any, Final
from uuid import uuid4

from benchmarks.comparison import interleave
from benchmarks.cost import Cost, Meter
from benchmarks.report import Measured, Metric, compare
from benchmarks.unguarded import UnguardedRuntime
from contract import VERSION, LookalikeError
from producer.app import make_app
from producer.consumption import Consumption
from producer.ledger import Batch, Ledger
from producer.publisher import Publisher
from worker.runtime import Runtime
from worker.settings import WorkerSettings

_THREADS: Final = 16
_COMPANY_ID: Final = 7


class NotIndexed(LookalikeError):
    """A picture of the benchmark was not indexed: what was measured is something else."""


@dataclass(frozen=True, slots=True)
class Ingesting:
    """A series.

    Attributes:
        name: of the pictures.
        pictures: their bytes.
        size: events in a batch.
        batches: in a block.
        pairs: of blocks, one with the guarantees and one without.
    """

    name: str
    pictures: Sequence[bytes]
    size: int
    batches: int
    pairs: int


class Bench:
    """Two workers' parts in this process, one with the guarantees and one without, on the same servers."""

    def __init__(self, settings: WorkerSettings, meter: Meter) -> None:
        app = make_app("lookalike-benchmark", settings)
        make: Callable[[Ledger], Publisher] = lambda ledger: Publisher(app, ledger)  # noqa: E731
        consumption = Consumption(app)
        self._guarded = Runtime(settings, make, consumption)
        self._unguarded = UnguardedRuntime(settings, make, consumption)
        self._meter = meter
        self._threads = ThreadPoolExecutor(_THREADS)
        self._meta_ids = count(1)

    def close(self) -> None:
        """Close every connection."""
        self._threads.shutdown()
        self._guarded.close()
        self._unguarded.close()

    def measure(self, series: Ingesting) -> Iterator[Measured]:
        """Ingest new pictures, with the guarantees and without."""
        keys = [f"{series.name}/{number}.jpg" for number in range(len(series.pictures))]
        for key, body in zip(keys, series.pictures, strict=True):
            self._guarded.objects.put(key, body)
        pairs = interleave(
            lambda: self._block(self._guarded, series, keys),
            lambda: self._block(self._unguarded, series, keys),
            series.pairs,
        )
        yield from compare(f"ingest, {series.name}, {series.size} in a batch", pairs, _metrics(series))

    def _block(self, runtime: Runtime, series: Ingesting, keys: Sequence[str]) -> Cost:
        messages = {str(uuid4()): self._message(series.size, keys) for _ in range(series.batches)}
        for batch_id, message in messages.items():
            runtime.ledger.record(Batch(batch_id, message["events"]), time.time())  # that cost is the producer's
        return self._meter.measure(lambda: self._ingest(runtime, messages))

    def _message(self, size: int, keys: Sequence[str]) -> dict[str, Any]:
        meta_ids = [next(self._meta_ids) for _ in range(size)]
        events = [
            {"object_key": keys[meta_id % len(keys)], "meta_id": meta_id, "company_id": _COMPANY_ID}
            for meta_id in meta_ids
        ]
        return {"events": events, "version": VERSION}

    def _ingest(self, runtime: Runtime, messages: Mapping[str, dict[str, Any]]) -> None:
        results = self._threads.map(runtime.batches, messages.keys(), messages.values())
        for result, message in zip(results, messages.values(), strict=True):
            if result["indexed"] != len(message["events"]):
                raise NotIndexed(f"of {len(message['events'])} pictures: {result}")


def _metrics(series: Ingesting) -> Iterator[Metric]:
    thousands = 1e3 / (series.batches * series.size)
    yield Metric("worker's CPU", "s/1,000", lambda cost: cost.process, thousands)
    yield Metric("Valkey's CPU", "s/1,000", lambda cost: cost.valkey, thousands)
    yield Metric("CPU of both", "s/1,000", lambda cost: cost.cpu, thousands)
    yield Metric("time", "s/1,000", lambda cost: cost.wall, thousands)
