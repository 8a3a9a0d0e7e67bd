"""Many who enqueue one event at a time: with shared batches, and as it was before, a message for each event."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import redis

from benchmarks.comparison import interleave
from benchmarks.cost import Cost, Meter
from benchmarks.section import Table, Value
from contract import INGEST, QUEUES
from producer import Client, ClientSettings
from producer.connections import MAX_THREADS, Connections
from producer.enqueuing import encode_event
from producer.publisher import Publisher

_THREADS: Final = (1, 16, 64)
_COROUTINES: Final = 1000

Enqueue = Callable[[int], object]
AsyncEnqueue = Callable[[int], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Block:
    """What a number of events cost.

    Attributes:
        cost: of all.
        latency: of one call, the median in seconds.
        messages: that carry them.
    """

    cost: Cost
    latency: float
    messages: int


Pairs = list[tuple[Block, Block]]


def event_of(number: int) -> dict[str, Any]:
    """Make an event."""
    return {"object_key": f"uploads/7/{number}/photo.jpg", "meta_id": number, "company_id": 7}


def measure(settings: ClientSettings, meter: Meter, *, events: int, pairs: int) -> Iterator[Table]:
    """Let threads and coroutines enqueue in both ways by turns, with nobody to take the messages."""
    connections = Connections(settings)
    publisher = Publisher(connections.app, connections.ledger)
    with (
        closing(connections),
        Client(settings) as client,
        closing(redis.Redis.from_url(settings.broker_url)) as server,
        ThreadPoolExecutor(MAX_THREADS) as pool,
    ):

        def alone(number: int) -> object:
            return publisher.accept([encode_event(event_of(number))])

        def shared(number: int) -> object:
            return client.enqueue(**event_of(number))

        async def alone_async(number: int) -> object:
            return await asyncio.get_running_loop().run_in_executor(pool, alone, number)

        async def shared_async(number: int) -> object:
            return await client.aenqueue(**event_of(number))

        def block(work: Callable[[list[float]], object]) -> Block:
            server.flushdb()
            latencies: list[float] = []
            cost = meter.measure(lambda: work(latencies))
            return Block(cost, median(latencies), server.llen(QUEUES[INGEST]))

        rows = []
        for callers in _THREADS:
            each = events // callers
            ways = (_in_threads(shared, callers, each), _in_threads(alone, callers, each))
            measured = interleave(lambda: block(ways[0]), lambda: block(ways[1]), pairs)  # noqa: B023 - called here
            rows.append((f"{callers} threads" if callers > 1 else "1 thread", measured, each * callers))
        each = max(1, events // _COROUTINES)
        ways = (_in_coroutines(shared_async, each), _in_coroutines(alone_async, each))
        measured = interleave(lambda: block(ways[0]), lambda: block(ways[1]), pairs)
        rows.append((f"{_COROUTINES:,} coroutines", measured, each * _COROUTINES))
        server.flushdb()
    about = f"Client.enqueue, one event at a time, about {events:,} in a block, medians"
    note = f"Alone: a message for each event, from the caller's own thread; for coroutines from {MAX_THREADS} threads."
    yield Table("single", about, [_rates(*row) for row in rows], [note])
    yield Table("single cost", "The same: time of a call, and processor time", [_costs(*row) for row in rows])


def _in_threads(enqueue: Enqueue, callers: int, each: int) -> Callable[[list[float]], object]:
    def work(latencies: list[float]) -> None:
        def call(caller: int) -> None:
            for number in range(caller * each, (caller + 1) * each):
                begun = time.perf_counter()
                enqueue(number)
                latencies.append(time.perf_counter() - begun)

        with ThreadPoolExecutor(callers) as threads:
            list(threads.map(call, range(callers)))

    return work


def _in_coroutines(enqueue: AsyncEnqueue, each: int) -> Callable[[list[float]], object]:
    def work(latencies: list[float]) -> None:
        async def call(caller: int) -> None:
            for number in range(caller * each, (caller + 1) * each):
                begun = time.perf_counter()
                await enqueue(number)
                latencies.append(time.perf_counter() - begun)

        async def all_of_them() -> None:
            await asyncio.gather(*map(call, range(_COROUTINES)))

        asyncio.run(all_of_them())

    return work


def _medians(pairs: Pairs, value: Callable[[Block], float]) -> tuple[float, float, float]:
    """Shared, alone, and how many times shared is alone."""
    shared, alone = zip(*((value(one), value(other)) for one, other in pairs), strict=True)
    return median(shared), median(alone), median(other / one for one, other in zip(shared, alone, strict=True))


def _rates(callers: str, pairs: Pairs, events: int) -> dict[str, Value]:
    shared, alone, times = _medians(pairs, lambda block: block.cost.wall)
    return {
        "callers": callers,
        "events/s": round(events / shared),
        "alone": round(events / alone),
        "times": times,
        "events in a message": events / median(block.messages for block, _ in pairs),
    }


def _costs(callers: str, pairs: Pairs, events: int) -> dict[str, Value]:
    waited, waited_alone, _ = _medians(pairs, lambda block: block.latency)
    used, used_alone, times = _medians(pairs, lambda block: block.cost.cpu)
    return {
        "callers": callers,
        "call, ms": waited * 1e3,
        "alone, ms": waited_alone * 1e3,
        "CPU with Valkey's, us/event": used / events * 1e6,
        "alone, us": used_alone / events * 1e6,
        "times less": times,
    }
