"""What the ledger costs a producer: `Publisher.accept` against the publishing alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import redis

from benchmarks.comparison import interleave
from benchmarks.cost import Cost, Meter
from benchmarks.report import Measured, Metric, compare
from contract import INGEST, QUEUES
from producer import ClientSettings
from producer.connections import Connections
from producer.ledger import Batch
from producer.publisher import Publisher


@dataclass(frozen=True, slots=True)
class Enqueuing:
    """A series.

    Attributes:
        size: events in a batch.
        batches: in a block.
        pairs: of blocks, one with the ledger and one without.
    """

    size: int
    batches: int
    pairs: int


def measure_enqueuing(series: Enqueuing, settings: ClientSettings, meter: Meter) -> Iterator[Measured]:
    """Publish batches of one size, with the ledger and without."""
    connections = Connections(settings)
    publisher = Publisher(connections.app, connections.ledger)
    broker = redis.Redis.from_url(settings.broker_url)
    events = [{"object_key": f"uploads/7/{n}/photo.jpg", "meta_id": n, "company_id": 7} for n in range(series.size)]

    def accept() -> None:
        for _ in range(series.batches):
            publisher.accept(events)

    def publish() -> None:
        for _ in range(series.batches):
            publisher.publish(Batch(str(uuid4()), events))

    def clear() -> None:
        broker.delete(QUEUES[INGEST])
        connections.ledger.connection.flushdb()

    def on() -> Cost:
        clear()
        return meter.measure(accept)

    def off() -> Cost:
        clear()
        return meter.measure(publish)

    try:
        pairs = interleave(on, off, series.pairs)
        clear()
    finally:
        broker.close()
        connections.close()
    yield from compare(f"enqueue, {series.size} in a batch", pairs, _metrics(series))


def _metrics(series: Enqueuing) -> Iterator[Metric]:
    yield Metric("time", "ms/batch", lambda cost: cost.wall, 1e3 / series.batches)
    microseconds = 1e6 / (series.batches * series.size)
    yield Metric("time", "us/event", lambda cost: cost.wall, microseconds)
    yield Metric("producer's CPU", "us/event", lambda cost: cost.process, microseconds)
    yield Metric("Valkey's CPU", "us/event", lambda cost: cost.valkey, microseconds)
    yield Metric("CPU of both", "us/event", lambda cost: cost.cpu, microseconds)
