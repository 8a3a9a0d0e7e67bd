"""On a real Valkey: the limit holds whoever enqueues at once, and a stream goes on when workers have caught up."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from contract import DeadLetter, Overloaded, Reason
from producer import Client, ClientSettings, Interrupted
from producer.dead_letters import ReplayInterrupted
from producer.ledger import Batch, Ledger
from producer.selection import Selection

HIGH, LOW, LIMIT = 60, 20, 100
EVENTS = [{"object_key": f"{number}.jpg", "meta_id": number, "company_id": 7} for number in range(200)]


@pytest.fixture
def limited(url: str) -> Iterator[Client]:
    """A client with narrow watermarks, where nobody works."""
    settings = ClientSettings(
        broker_url=url,
        result_backend_url=url,
        ledger_url=url,
        outstanding_high=HIGH,
        outstanding_low=LOW,
        outstanding_max=LIMIT,
    )
    with Client(settings) as client:
        yield client


@pytest.fixture
def settling(ledger: Ledger, server: redis.Redis) -> Iterator[list[int]]:
    """Settle the batches that are recorded, one after the other, and note what was outstanding before each."""
    seen: list[int] = []
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.002):
            for key in server.keys("{lookalike}:batch:*"):
                seen.append(ledger.outstanding())
                ledger.settle(str(key).removeprefix("{lookalike}:batch:"), {}, time.time())

    thread = threading.Thread(target=work)
    thread.start()
    yield seen
    stop.set()
    thread.join()


def test_record_tells_how_many_are_outstanding(url: str) -> None:
    """With the batch; told again for a batch that is known already, also at the limit, and after it is settled."""
    ledger = Ledger.from_url(url, outstanding_max=5)
    assert ledger.record(Batch("one", [1, 2]), 0.0) == 2
    assert ledger.record(Batch("two", [1, 2, 3]), 0.0) == 5
    assert ledger.record(Batch("two", [1, 2, 3]), 0.0) == 5
    ledger.settle("one", {}, 0.0)
    assert ledger.record(Batch("one", [1, 2]), 0.0) == 3
    assert ledger.outstanding() == 3
    ledger.close()


def test_a_refused_batch_leaves_nothing(url: str, server: redis.Redis) -> None:
    """No key of it, no count; a smaller one that fits is taken."""
    ledger = Ledger.from_url(url, outstanding_max=5)
    ledger.record(Batch("one", [1, 2, 3]), 0.0)
    before = sorted(server.keys())
    with pytest.raises(Overloaded, match="over their limit of 5"):
        ledger.record(Batch("two", [1, 2, 3]), 0.0)
    assert (sorted(server.keys()), ledger.outstanding()) == (before, 3)
    assert ledger.record(Batch("three", [1, 2]), 0.0) == 5
    ledger.close()


def test_workers_are_not_limited(url: str) -> None:
    """A batch that came by plain `send_task` begins, and retries carry on, whatever is outstanding."""
    ledger = Ledger.from_url(url, outstanding_max=1)
    ledger.record(Batch("one", [1]), 0.0)
    assert ledger.begin(Batch("plain", [1, 2]), 0.0).attempts == 1
    assert ledger.settle("plain", {}, 0.0, successors=[Batch("again", [1, 2, 3])])
    assert ledger.outstanding() == 4
    ledger.close()


def test_the_limit_holds_for_all_at_once(limited: Client, ledger: Ledger, server: redis.Redis) -> None:
    """Eight threads enqueue more than there is room for: as many are accepted as fit, every other is refused."""
    together = threading.Barrier(8)

    def enqueue(thread: int) -> tuple[int, int]:
        together.wait()
        accepted = refused = 0
        for number in range(20):
            try:
                limited.enqueue(f"{thread}/{number}.jpg", meta_id=number, company_id=thread)
                accepted += 1
            except Overloaded:
                refused += 1
            assert ledger.outstanding() <= LIMIT
        return accepted, refused

    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(enqueue, range(8)))
    assert [sum(each) for each in zip(*counts, strict=True)] == [LIMIT, 60]
    assert ledger.outstanding() == LIMIT
    batches = [str(key) for key in server.scan_iter("{lookalike}:batch:*")]
    assert server.llen("ingest") == len(batches) < LIMIT, "threads share messages"
    assert sum(int(str(server.hget(batch, "size"))) for batch in batches) == LIMIT


def test_a_stream_goes_on_when_workers_have_caught_up(limited: Client, settling: list[int]) -> None:
    """All events are enqueued, no more than the high watermark are outstanding, and it has waited."""
    waited: list[int] = []
    result = limited.enqueue_many(EVENTS, batch_size=10, wait=30, waiting=waited.append)
    assert (result.events, result.batches) == (200, 20)
    assert max(settling) <= HIGH
    assert all(outstanding > LOW for outstanding in waited)


def test_a_stream_that_is_refused_goes_on(
    limited: Client, ledger: Ledger, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    """Another producer took the last room; when its batch is settled, the stream is sent whole."""
    ledger.record(Batch("theirs", [1] * 95), time.time())
    waiting = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(limited.enqueue_many, EVENTS[:30], batch_size=10, waiting=lambda _: waiting.set())
        eventually(waiting.is_set)
        assert not stream.done()
        ledger.settle("theirs", {}, time.time())
        assert stream.result(timeout=10).events == 30
    assert ledger.outstanding() == 30


def test_a_stream_waits_no_longer_than_it_may(limited: Client, ledger: Ledger) -> None:
    """Nobody works: the error says how many are enqueued, and they are."""
    with pytest.raises(Interrupted, match=r"60 events are outstanding, after waiting 0\.2 s") as caught:
        limited.enqueue_many(EVENTS, batch_size=10, wait=0.2)
    assert caught.value.accepted == ledger.outstanding() == HIGH


def test_closing_ends_the_waiting(limited: Client, eventually: Callable[[Callable[[], bool]], None]) -> None:
    """A stream that would wait for ever does not keep the client from closing."""
    waiting = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(limited.enqueue_many, EVENTS, batch_size=10, waiting=lambda _: waiting.set())
        eventually(waiting.is_set)
        limited.close()
        with pytest.raises(Interrupted, match="the client was closed"):
            stream.result(timeout=10)


@pytest.fixture
def _dead(ledger: Ledger) -> None:
    """Two hundred dead letters."""
    ledger.record(Batch("died", EVENTS), time.time())
    ledger.settle(
        "died",
        {},
        time.time(),
        dead=[DeadLetter(event, Reason.UNAVAILABLE, "", 1, "", "") for event in EVENTS],
    )


@pytest.mark.usefixtures("_dead")
def test_a_replay_waits_for_a_backlog(limited: Client, ledger: Ledger) -> None:
    """Nobody works: it takes no longer than it may, says how far it came, and the rest is a dead letter still."""
    with pytest.raises(ReplayInterrupted, match="replayed until then: 100 events") as caught:
        limited.dead.replay(Selection(), wait=0.2)
    assert caught.value.accepted == ledger.outstanding() == ledger.dead.count() == 100


@pytest.mark.usefixtures("_dead")
def test_a_replay_goes_on_when_workers_have_caught_up(limited: Client, settling: list[int]) -> None:
    """All letters are replayed, a message at a time."""
    assert limited.dead.replay(Selection(), wait=30).replayed == 200
    assert max(settling) <= 100
