"""On a real Valkey: those who enqueue one at a time share messages, and what they were told is true, whatever dies."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from producer import Client, ClientSettings
from producer.ledger import Ledger
from producer.sharing import Accepted


def recorded(server: redis.Redis) -> Counter[str]:
    """Count the keys of the objects in all batches of the ledger."""
    return Counter(
        event["object_key"]
        for batch in server.scan_iter("{lookalike}:batch:*", count=1000)
        for event in json.loads(str(server.hget(batch, "events")))
    )


def run(code: str, url: str) -> "subprocess.Popen[str]":
    """Start a program that has a `client`, and is told nothing of its end."""
    program = "from producer import Client\nclient = Client.from_env()\n" + textwrap.dedent(code)
    env = {**os.environ, "LOOKALIKE_BROKER_URL": url}
    return subprocess.Popen(
        [sys.executable, "-c", program], env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_many_threads(client: Client, ledger: Ledger, server: redis.Redis) -> None:
    """64 of them: all events are in the ledger, each once, in far fewer messages, which say the ids that were told."""
    with ThreadPoolExecutor(64) as threads:
        ids = set(threads.map(lambda n: client.enqueue(f"{n}.jpg", meta_id=n, company_id=7), range(1280)))
    assert recorded(server) == Counter(f"{n}.jpg" for n in range(1280))
    assert ledger.outstanding() == 1280
    bodies = [json.loads(raw) for raw in server.lrange("ingest", 0, -1)]
    assert {body["headers"]["id"] for body in bodies} == ids
    assert len(bodies) < 640


def test_many_coroutines(client: Client, ledger: Ledger, server: redis.Redis) -> None:
    """A thousand at once: in a few messages."""

    async def use() -> list[str]:
        calls = (client.aenqueue(f"{n}.jpg", meta_id=n, company_id=7) for n in range(1000))
        return await asyncio.gather(*calls)

    ids = asyncio.run(use())
    assert recorded(server) == Counter(f"{n}.jpg" for n in range(1000))
    assert ledger.outstanding() == 1000
    assert server.llen("ingest") == len(set(ids)) < 100


def test_the_first_waits_for_company_where_that_is_asked_for(settings: ClientSettings, server: redis.Redis) -> None:
    """`LOOKALIKE_ENQUEUE_DELAY_SECONDS`: what comes within it goes together, also from async code."""
    with Client(settings.model_copy(update={"enqueue_delay_seconds": 1.0})) as client:
        events = [{"object_key": f"{n}.jpg", "meta_id": n, "company_id": 7} for n in range(100)]
        submitted = [client.submit(event) for event in events[:-1]]
        assert not any(future.done() for future in submitted)
        submitted.append(client.submit(events[-1]))
        assert len({future.result() for future in submitted}) == 1
    assert server.llen("ingest") == 1


def test_a_cancelled_twin_runs_to_its_end(
    client: Client, server: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Its event is accepted, also when the loop is closed before that; nothing is logged of it."""
    shared, passed = client._shared, threading.Event()  # noqa: SLF001 - to hold up what is on its way
    accept = shared._accept  # noqa: SLF001 - as above

    def held_up(events: Sequence[object]) -> Accepted:
        passed.wait()
        return accept(events)

    shared._accept = held_up  # noqa: SLF001 - as above

    async def use() -> None:
        first = asyncio.create_task(client.aenqueue("a.jpg", meta_id=1, company_id=7))
        second = asyncio.create_task(client.aenqueue("b.jpg", meta_id=2, company_id=7))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(second, 0.01)

    asyncio.run(use())
    passed.set()
    client.close()
    assert recorded(server) == Counter(["a.jpg", "b.jpg"])
    assert caplog.records == []


def test_closing_sends_what_was_submitted(settings: ClientSettings, server: redis.Redis) -> None:
    """All of it."""
    with Client(settings) as client:
        for n in range(500):
            client.submit({"object_key": f"{n}.jpg", "meta_id": n, "company_id": 7})
    assert recorded(server) == Counter(f"{n}.jpg" for n in range(500))


@pytest.fixture
def _busy(client: Client) -> Iterator[None]:
    """A process in which other threads enqueue."""
    stop = False

    def enqueue() -> None:
        while not stop:
            client.enqueue("parent.jpg", meta_id=1, company_id=7)

    with ThreadPoolExecutor(4) as threads:
        for _ in range(4):
            threads.submit(enqueue)
        yield
        stop = True


@pytest.mark.usefixtures("_busy")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_of_a_fork_shares_batches_of_its_own(client: Client, server: redis.Redis) -> None:
    """Whatever the parent's threads hold at that moment, and at the end it waits for nothing of theirs."""
    for n in range(10):
        child = os.fork()
        if child == 0:
            try:
                submitted = [client.submit({"object_key": f"{n}.jpg", "meta_id": 2, "company_id": 7}) for _ in range(9)]
                os._exit(0 if all(future.result(timeout=10) for future in submitted) else 1)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    counted = recorded(server)
    assert [counted[f"{n}.jpg"] for n in range(10)] == [9] * 10


def test_a_program_that_ends_sends_what_it_submitted(url: str, server: redis.Redis) -> None:
    """Threads that outlive the main one, and what runs at the very end, enqueue as ever."""
    code = """
    import atexit, threading, time
    def enqueue(name):
        client.enqueue(f"{name}.jpg", meta_id=1, company_id=7)
        client.submit({"object_key": f"{name}-submitted.jpg", "meta_id": 2, "company_id": 7})
    def later():
        threading.main_thread().join()
        enqueue("thread")
    atexit.register(enqueue, "exit")
    threading.Thread(target=later).start()
    for n in range(300):
        client.submit({"object_key": f"{n}.jpg", "meta_id": n, "company_id": 7})
    """
    with run(code, url) as program:
        assert program.communicate(timeout=60) == ("", "")
    assert program.returncode == 0
    last = ["thread.jpg", "thread-submitted.jpg", "exit.jpg", "exit-submitted.jpg"]
    assert recorded(server) == Counter([*(f"{n}.jpg" for n in range(300)), *last])


def test_what_was_told_is_true_after_a_kill(
    url: str, server: redis.Redis, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    """Sixteen threads enqueue; the process is killed in the middle. Each event that was accepted is in the ledger."""
    code = """
    import os, threading
    def enqueue(thread):
        number = 0
        while True:
            client.enqueue(f"{thread}/{number}.jpg", meta_id=number, company_id=thread)
            os.write(1, f"{thread}/{number}.jpg\\n".encode())
            number += 1
    for thread in range(16):
        threading.Thread(target=enqueue, args=[thread]).start()
    """
    with run(code, url) as program:
        eventually(lambda: server.llen("ingest") > 50)
        program.send_signal(signal.SIGKILL)
        told, _ = program.communicate(timeout=60)
    accepted = told.splitlines()
    assert len(accepted) > server.llen("ingest"), "messages were shared"
    in_ledger = recorded(server)
    assert [key for key in accepted if in_ledger[key] != 1] == []
    # One event of each thread at the most was under way.
    assert len(in_ledger) - len(accepted) <= 16
