"""Events that are enqueued one at a time share batches, and each caller is told what became of its own."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import Overloaded, ServiceUnavailable
from producer import sharing
from producer.sharing import SharedBatches


@dataclass
class Told:
    """What is told of a batch."""

    batch_id: str


class Gate:
    """Accepts batches, one after the other as the test lets them pass."""

    def __init__(
        self, *, open_: bool = True, fail: Callable[[Sequence[Any]], Exception | None] = lambda _: None
    ) -> None:
        self.batches: list[list[Any]] = []
        self.threads: list[threading.Thread] = []
        self.arrived = threading.Semaphore(0)
        self.passes = threading.Semaphore(10**6 if open_ else 0)
        self.fail = fail
        self._ids = count()
        self._lock = threading.Lock()

    def __call__(self, events: Sequence[Any]) -> Told:
        """Accept a batch."""
        with self._lock:
            self.batches.append(list(events))
            self.threads.append(threading.current_thread())
        self.arrived.release()
        self.passes.acquire()
        if (error := self.fail(events)) is not None:
            raise error
        return Told(f"batch {next(self._ids)}")


def wait_for(condition: Callable[[], bool]) -> None:
    """Poll for a condition, for ten seconds at the most."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.001)


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate that is closed, and open in the end."""
    made = Gate(open_=False)
    yield made
    made.passes.release(10**6)


def test_a_lone_event_waits_for_nobody() -> None:
    """It is a batch of its own."""
    gate = Gate()
    shared = SharedBatches(gate)
    assert [shared.submit(n).result() for n in range(3)] == ["batch 0", "batch 1", "batch 2"]
    assert gate.batches == [[0], [1], [2]]
    shared.close()


def test_what_comes_while_a_batch_is_on_its_way_goes_together(gate: Gate) -> None:
    """In the order that it came, and nobody is told before it is accepted."""
    shared = SharedBatches(gate)
    first = shared.submit(0)
    gate.arrived.acquire()
    others = [shared.submit(n) for n in range(1, 51)]
    assert not first.done()
    gate.passes.release(2)
    assert {future.result() for future in others} == {"batch 1"}
    assert gate.batches == [[0], list(range(1, 51))]
    shared.close()


def test_a_batch_has_at_most_a_hundred_events_and_two_are_on_their_way(gate: Gate) -> None:
    """A second one goes when it is full."""
    shared = SharedBatches(gate)
    futures = [shared.submit(0)]
    gate.arrived.acquire()
    futures += [shared.submit(n) for n in range(1, 251)]
    gate.arrived.acquire()
    assert not gate.arrived.acquire(timeout=0.05), "a third one waits"
    assert [len(batch) for batch in gate.batches] == [1, 100]
    gate.passes.release(10)
    assert len({future.result() for future in futures}) == 4
    assert sorted(len(batch) for batch in gate.batches) == [1, 50, 100, 100]
    shared.close()


def test_the_first_event_may_wait_for_company() -> None:
    """As long as it is told, or until the batch is full."""
    gate = Gate()
    now = [0.0]
    shared = SharedBatches(gate, delay=1.0, clock=lambda: now[0])
    futures = [shared.submit(n) for n in range(3)]
    assert not gate.arrived.acquire(timeout=0.05)
    now[0] = 1.0
    futures.append(shared.submit(3))
    assert {future.result() for future in futures} == {"batch 0"}
    for future in [shared.submit(n) for n in range(100)]:
        future.result()
    assert [len(batch) for batch in gate.batches] == [4, 100]
    shared.close()


def test_closing_sends_what_waits(gate: Gate) -> None:
    """And takes nothing more."""
    shared = SharedBatches(gate, delay=1.0, clock=lambda: 0.0)
    futures = [shared.submit(n) for n in range(3)]
    gate.passes.release()
    shared.close()
    assert {future.result(timeout=0) for future in futures} == {"batch 0"}
    with pytest.raises(ServiceUnavailable, match="closed"):
        shared.submit(4)


def test_an_error_reaches_everybody_in_the_batch(gate: Gate) -> None:
    """And nobody else."""
    gate.fail = lambda events: ServiceUnavailable("no ledger") if 1 in events else None
    shared = SharedBatches(gate)
    first = shared.submit(0)
    gate.arrived.acquire()
    failed = [shared.submit(n) for n in range(1, 5)]
    gate.passes.release(2)
    for future in failed:
        with pytest.raises(ServiceUnavailable, match="no ledger"):
            future.result()
    gate.passes.release()
    assert first.result() == "batch 0"
    assert shared.submit(9).result() == "batch 1"
    shared.close()


def test_nobody_is_refused_for_what_came_along(gate: Gate) -> None:
    """Of a batch that is too many, as many are accepted as fit."""
    room = [10]

    def overloaded(events: Sequence[Any]) -> Exception | None:
        if len(events) > room[0]:
            return Overloaded("too many")
        room[0] -= len(events)
        return None

    gate.fail = overloaded
    shared = SharedBatches(gate)
    futures = [shared.submit(0)]
    gate.arrived.acquire()
    futures += [shared.submit(n) for n in range(1, 31)]
    gate.passes.release(10**6)
    errors = [future.exception() for future in futures]
    assert sum(error is None for error in errors) == 10
    assert {type(error) for error in errors} == {type(None), Overloaded}
    shared.close()


def test_what_is_cancelled_in_time_is_not_sent(gate: Gate) -> None:
    """And what is on its way cannot be cancelled."""
    shared = SharedBatches(gate)
    first = shared.submit(0)
    gate.arrived.acquire()
    cancelled = [shared.submit(n) for n in range(1, 101)]
    assert all(future.cancel() for future in cancelled)
    assert not first.cancel()
    last = shared.submit(101)
    gate.passes.release(10)
    assert last.result()
    assert gate.batches == [[0], [101]]
    shared.close()


def test_who_submits_too_fast_waits(gate: Gate) -> None:
    """So memory is bounded."""
    shared = SharedBatches(gate, most=2)
    shared.submit(0)
    gate.arrived.acquire()
    shared.submit(1)
    shared.submit(2)
    assert shared.is_full
    with ThreadPoolExecutor(1) as caller:
        blocked = caller.submit(shared.submit, 3)
        with pytest.raises(TimeoutError):
            blocked.result(timeout=0.05)
        gate.passes.release(10)
        assert blocked.result().result()
    shared.close()


def test_who_is_alone_does_it_himself() -> None:
    """No other thread is needed; where there can be none, nobody would be answered."""
    gate = Gate()
    shared = SharedBatches(gate)
    assert shared.enqueue(0) == "batch 0"
    assert gate.threads == [threading.current_thread()]
    gate.fail = lambda _: Overloaded("too many")
    with pytest.raises(Overloaded):
        shared.enqueue(1)
    gate.fail = lambda _: None
    assert shared.enqueue(2) == "batch 1"
    shared.close()
    with pytest.raises(ServiceUnavailable, match="closed"):
        shared.enqueue(3)


def test_who_is_not_alone_shares(gate: Gate) -> None:
    """While one enqueues by himself, and one batch is on its way, all others gather."""
    shared = SharedBatches(gate)
    with ThreadPoolExecutor(12) as callers:
        ids = [callers.submit(shared.enqueue, 0)]
        gate.arrived.acquire()
        ids.append(callers.submit(shared.enqueue, 1))
        gate.arrived.acquire()
        ids += [callers.submit(shared.enqueue, n) for n in range(2, 12)]
        wait_for(lambda: len(shared._waiting) == 10)  # noqa: SLF001 - nothing else tells
        gate.passes.release(3)
        assert len({each.result() for each in ids}) == 3
    assert [len(batch) for batch in gate.batches] == [1, 1, 10]
    shared.close()


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """What was started in the background of a shell ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_an_interrupted_caller_leaves_the_others_alone(gate: Gate) -> None:
    """Its event goes all the same, and so do those of the others, and later ones."""
    shared = SharedBatches(gate)
    first = shared.submit(0)
    gate.arrived.acquire()
    others = [shared.submit(n) for n in range(1, 4)]
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        wait_for(lambda: len(shared._waiting) == 4)  # noqa: SLF001 - as above
        signal.pthread_kill(main, signal.SIGINT)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(interrupt)
        with pytest.raises(KeyboardInterrupt):
            shared.enqueue(4)
    gate.passes.release(10)
    assert first.result()
    assert {future.result() for future in others} == {"batch 1"}
    assert gate.batches == [[0], [1, 2, 3, 4]]
    assert shared.enqueue(5)
    shared.close()


def test_each_caller_has_an_error_of_its_own(gate: Gate) -> None:
    """Tracebacks of many threads do not pile up on one."""
    gate.fail = lambda _: ServiceUnavailable("no ledger")
    shared = SharedBatches(gate)
    shared.submit(0)
    gate.arrived.acquire()
    futures = [shared.submit(n) for n in range(5)]
    gate.passes.release(10)
    errors = [future.exception() for future in futures]
    assert {str(error) for error in errors} == {"no ledger"}
    assert len({id(error) for error in errors}) == 5
    shared.close()


def test_a_fault_is_told_too(gate: Gate) -> None:
    """What nobody thought of ends the waiting as well, and later batches go on."""
    gate.fail = lambda events: KeyError("a fault") if 0 in events else None
    shared = SharedBatches(gate)
    failed = shared.submit(0)
    gate.passes.release(10)
    with pytest.raises(KeyError):
        failed.result()
    assert shared.submit(1).result()
    shared.close()


@given(waiting=st.integers(1, 100), room=st.integers(0, 100))
def test_as_many_are_accepted_as_fit(waiting: int, room: int) -> None:
    """However many wait, with few tries; the rest is refused."""
    left = [room]

    def accept(events: Sequence[Any]) -> Told:
        tries.append(len(events))
        if len(events) > left[0]:
            raise Overloaded("too many")
        left[0] -= len(events)
        return Told("accepted")

    tries: list[int] = []
    shared = SharedBatches(accept)
    futures: list[Future[str]] = [Future() for _ in range(waiting)]
    shared._send([(n, future, None) for n, future in enumerate(futures)])  # noqa: SLF001 - one batch, of just so many
    assert sum(future.exception() is None for future in futures) == min(waiting, room)
    assert len(tries) <= 16


def test_a_callback_may_do_anything(gate: Gate) -> None:
    """Enqueue, submit although there is no room, and close: in the thread that all else waits for."""
    shared = SharedBatches(gate, most=1)
    done: list[object] = []

    def callback(_: Future[str]) -> None:
        done.append(shared.enqueue("from a callback"))
        done.extend(shared.submit(n) for n in range(3))
        shared.close()
        done.append("closed")

    first = shared.submit(0)
    first.add_done_callback(callback)
    gate.passes.release(10)
    wait_for(lambda: len(done) == 5)
    shared.flush()
    assert done[0] == "batch 1"
    assert [future.done() for future in done if isinstance(future, Future)] == [True] * 3
    assert done[-1] == "closed"


def test_without_threads_it_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the interpreter ends, or the system has no more."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    gate = Gate()
    shared = SharedBatches(gate)
    assert [shared.submit(n).result(timeout=0) for n in range(2)] == ["batch 0", "batch 1"]
    shared.close()


def test_threads_end_when_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """And begin again."""
    monkeypatch.setattr(sharing, "_IDLE_SECONDS", 0.01)
    gate = Gate()
    shared = SharedBatches(gate)
    assert shared.submit(0).result()
    wait_for(lambda: not gate.threads[0].is_alive())
    assert shared.submit(1).result()
    shared.close()


def test_flushing_waits_for_what_was_submitted(gate: Gate) -> None:
    """And takes more afterwards."""
    shared = SharedBatches(gate)
    futures = [shared.submit(n) for n in range(3)]
    with ThreadPoolExecutor(1) as pool:
        flushed = pool.submit(shared.flush)
        with pytest.raises(TimeoutError):
            flushed.result(timeout=0.05)
        gate.passes.release(10)
        flushed.result()
    assert all(future.done() for future in futures)
    assert shared.submit(3).result()
    shared.close()


def test_many_threads_share_few_batches() -> None:
    """Each event is accepted once, whatever the threads do."""
    gate = Gate()
    shared = SharedBatches(gate)
    with ThreadPoolExecutor(32) as callers:
        ids = list(callers.map(lambda n: shared.submit(n).result() if n % 2 else shared.enqueue(n), range(2000)))
    assert sorted(n for batch in gate.batches for n in batch) == list(range(2000))
    assert len(set(ids)) == len(gate.batches) < 2000
    shared.close()
