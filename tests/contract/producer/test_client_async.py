"""The async twins do what their sync ones do, and never block the loop."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

import pytest

from contract import InvalidMessage, QueryNotFound, ServiceUnavailable
from producer import Client, ClientSettings
from producer.connections import MAX_THREADS
from producer.ledger import Ledger

EVENT = {"object_key": "a.jpg", "meta_id": 1, "company_id": 7}


async def longest_pause(call: Awaitable[Any]) -> float:
    """Do something, and measure for how long the loop did nothing else."""
    done = asyncio.Event()

    async def watch() -> float:
        longest, last = 0.0, time.monotonic()
        while not done.is_set():
            await asyncio.sleep(0.005)
            now = time.monotonic()
            longest, last = max(longest, now - last), now
        return longest

    watcher = asyncio.create_task(watch())
    try:
        await call
    finally:
        done.set()
    return await watcher


def test_each_twin_answers_as_its_sync_one(working: Client) -> None:
    """Search, search many, delete and status, in async code."""

    async def use() -> None:
        assert (await working.asearch(object_key="a.jpg", company_id=7))["hash"] == "ahash"
        assert (await working.asearch_many([{"meta_id": 1}], company_id=7, limit=5))["results"] == [[]]
        assert await working.adelete([{"meta_id": 1, "company_id": 7}]) == 1
        assert set((await working.astatus()).queues) == {"ingest", "quarantine", "search"}

    asyncio.run(use())


def test_enqueuing_in_async_code(client: Client, ledger: Ledger) -> None:
    """One and many."""

    async def use() -> None:
        assert await client.aenqueue("a.jpg", meta_id=1, company_id=7)
        seen: list[int] = []
        result = await client.aenqueue_many([EVENT] * 5, batch_size=2, progress=seen.append)
        assert (result.events, result.batches, seen) == (5, 3, [2, 4, 5])

    asyncio.run(use())
    assert ledger.summary(0.0).outstanding == 6


def test_errors_come_through(working: Client) -> None:
    """With their class, as from the sync methods."""

    async def use() -> None:
        with pytest.raises(QueryNotFound):
            await working.asearch(object_key="raise/QueryNotFound", company_id=7)
        with pytest.raises(InvalidMessage):
            await working.asearch(object_key="a.jpg")

    asyncio.run(use())


def test_the_loop_goes_on_while_a_search_waits(working: Client) -> None:
    """The stand-in takes 0.4 s; the loop is never held up for a good part of that."""
    pause = asyncio.run(longest_pause(working.asearch(object_key="slow", company_id=7)))
    assert pause < 0.2


def test_the_loop_goes_on_while_nobody_answers(client: Client) -> None:
    """A timeout too is waited for elsewhere."""

    async def use() -> float:
        async def search() -> None:
            with pytest.raises(ServiceUnavailable):
                await client.asearch(object_key="a.jpg", company_id=7, timeout=0.3)

        return await longest_pause(search())

    assert asyncio.run(use()) < 0.2


def test_many_at_once(working: Client) -> None:
    """More searches than there are threads all get their own answer."""

    async def use() -> list[int]:
        calls = [working.asearch(object_key=f"{n}.jpg", company_id=n) for n in range(3 * MAX_THREADS)]
        answers: list[Any] = await asyncio.gather(*calls)
        return [answer["asked"]["company_id"] for answer in answers]

    assert asyncio.run(use()) == list(range(3 * MAX_THREADS))


def test_an_async_context(settings: ClientSettings) -> None:
    """Leaving it closes the client; closing again does nothing."""

    async def use() -> None:
        async with Client(settings) as client:
            await client.aenqueue("a.jpg", meta_id=1, company_id=7)
        await client.aclose()

    asyncio.run(use())
