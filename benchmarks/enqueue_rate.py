"""How many events a producer takes in for a core: `Client.enqueue_many` in batches of 100, and one at a time."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

import redis
from rich.console import Console

from benchmarks import single_enqueues
from benchmarks.cost import Cost, Meter
from benchmarks.section import Section, Table, Value
from contract import INGEST, QUEUES
from devstack import Stack
from producer import Client, ClientSettings

_SIZES: Final = (100, 10)
_EVENTS: Final = 20_000


def run(console: Console, quick: bool) -> Iterator[Table]:
    """Enqueue blocks of events, with nobody to take them, and count processor time."""
    rounds, events = (2, 2_000) if quick else (12, _EVENTS)
    with (
        TemporaryDirectory(prefix="lookalike-benchmark-") as folder,
        Stack(Path(folder), services=("valkey",)) as stack,
    ):
        url = stack.env["LOOKALIKE_LEDGER_URL"]
        settings = ClientSettings(broker_url=url, result_backend_url=url, ledger_url=url)
        with closing(Meter(url)) as meter, Client(settings) as client, closing(redis.Redis.from_url(url)) as server:
            blocks: dict[int, list[Cost]] = {size: [] for size in _SIZES}
            for number in range(rounds):
                for size, costs in blocks.items():
                    server.delete(QUEUES[INGEST])
                    costs.append(_block(client, meter, events, size))
                    server.flushdb()
                console.print(f"round {number + 1} of {rounds}", style="dim")
        rows = [_row(size, costs[1:], events) for size, costs in blocks.items()]
        notes = ("No worker took the messages. The first block of each size is not counted.",)
        yield Table("enqueue", f"Client.enqueue_many, {events:,} events in a block, medians", rows, notes)
        with closing(Meter(url)) as meter:
            yield from single_enqueues.measure(settings, meter, events=events // 4, pairs=rounds)


def _block(client: Client, meter: Meter, events: int, size: int) -> Cost:
    return meter.measure(lambda: client.enqueue_many(_events(events), batch_size=size))


def _events(number: int) -> Iterator[dict[str, Any]]:
    for n in range(number):
        yield {"object_key": f"uploads/7/{n}/photo.jpg", "meta_id": n, "company_id": 7}


def _row(size: int, costs: list[Cost], events: int) -> dict[str, Value]:
    producer, valkey = (median(of) for of in ([cost.process for cost in costs], [cost.valkey for cost in costs]))
    return {
        "batch": size,
        "events/s and core": round(events / producer),
        "with Valkey's core": round(events / (producer + valkey)),
        "events/s by the clock": round(events / median(cost.wall for cost in costs)),
        "producer, us/event": producer / events * 1e6,
        "Valkey, us/event": valkey / events * 1e6,
    }


SECTION: Final = Section("enqueue", "events a producer takes in for a second of one core", run)
