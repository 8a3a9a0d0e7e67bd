"""Batches that are shared by those who enqueue one event at a time.

While a batch is on its way, the events of others gather, and go together in the next. So a lone caller waits for
nobody, and many together send few messages. Whoever enqueued is told only when the batch with the event is accepted:
nothing is promised that is only in memory.

A batch is in one trace: that of the first of its callers who has one. Those of the others are linked to it.
"""

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final, Protocol
from weakref import WeakSet

from contract import MAX_EVENTS, LookalikeError, Overloaded, ServiceUnavailable
from producer import tracing
from producer.tracing import Trace

_PUBLISHERS: Final = 2
_MOST_WAITING: Final = 10_000
# A thread costs some 0.1 ms to start. One that is not needed any more should not keep a forgotten client alive.
_IDLE_SECONDS: Final = 10.0
_all: "WeakSet[SharedBatches]" = WeakSet()

_Batch = Sequence[tuple[Any, "Future[str]", Trace | None]]


class Accepted(Protocol):
    """What is known of a batch that was accepted."""

    @property
    def batch_id(self) -> str:
        """Its id."""


class SharedBatches:
    """Gathers events into batches, for all threads of a process. It has no threads until it needs them.

    Whatever interrupts a caller, it leaves no count or lock wrong: callers only append to a queue, and what depends on
    one another is changed by the threads that publish.
    """

    def __init__(
        self,
        accept: Callable[[Sequence[Any]], Accepted],
        *,
        delay: float = 0.0,
        most: int = _MOST_WAITING,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Share batches.

        Args:
            accept: accepts 1 to 100 events, or none of them.
            delay: seconds that the first event of a batch waits for more.
            most: events that wait at once; then `submit` blocks.
            clock: monotonic seconds.
        """
        self._accept = accept
        self._delay = delay
        self._most = most
        self._clock = clock
        self._waiting: deque[tuple[float, Any, Future[str], Trace | None]] = deque()
        self._busy = 0
        self._closed = False
        self._threads: set[threading.Thread] = set()
        self._alone = threading.Lock()
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._quiet = threading.Condition(self._lock)
        _all.add(self)

    @property
    def is_full(self) -> bool:
        """Whether `submit` would block."""
        return len(self._waiting) >= self._most

    def enqueue(self, event: Any) -> str:
        """Have an event accepted: in this thread if nobody else is at it, else as by `submit`.

        Returns:
            The id of the batch.

        Raises:
            Overloaded: as `accept` does, and so for other errors.
            ServiceUnavailable: also when this was closed.
        """
        # Without a lock: where two think that they are alone, one is not let through.
        alone = not (self._waiting or self._busy or self._delay or self._closed)
        if alone and self._alone.acquire(blocking=False):
            try:
                return self._accept([event]).batch_id
            finally:
                self._alone.release()
        if threading.current_thread() in self._threads:
            return self._accept([event]).batch_id  # a callback of a future; who should publish it, if not this thread?
        return self.submit(event).result()

    def submit(self, event: Any) -> "Future[str]":
        """Have an event accepted in the next batch.

        Args:
            event: JSON, valid for the contract.

        Returns:
            What ends with the id of the batch when it is accepted; or with `Overloaded` or `ServiceUnavailable`, and
            then the event is not accepted. It can be cancelled until the batch is on its way.

        Raises:
            ServiceUnavailable: this was closed.
        """
        future: Future[str] = Future()
        trace = tracing.current()
        with self._lock:
            if threading.current_thread() not in self._threads:
                self._room.wait_for(lambda: self._closed or not self.is_full)
            if self._closed:
                raise ServiceUnavailable("the client is closed")
            if self._has_thread():
                self._waiting.append((self._clock(), event, future, trace))
                # Those who are busy look again before they rest.
                if not self._busy or len(self._waiting) >= MAX_EVENTS:
                    self._work.notify()
                return future
        self._send([(event, future, trace)])
        return future

    def flush(self) -> None:
        """Wait until all that was submitted has ended."""
        with self._lock:
            self._wait_until_quiet()

    def close(self) -> None:
        """Send what waits, and take nothing more."""
        with self._lock:
            self._closed = True
            self._work.notify_all()
            self._room.notify_all()
            self._wait_until_quiet()

    def _wait_until_quiet(self) -> None:
        # Who closes in a callback of a future does so in a thread that is busy until then.
        myself = threading.current_thread() in self._threads
        self._quiet.wait_for(lambda: self._busy <= myself and (myself or not self._waiting))

    def _has_thread(self) -> bool:
        """See to it that somebody publishes; False where no thread can be started, as when the interpreter ends."""
        alive = sum(thread.is_alive() for thread in self._threads)
        if alive < (_PUBLISHERS if len(self._waiting) >= MAX_EVENTS else 1):
            try:
                # Where a subinterpreter has no daemons, making one fails already.
                thread = threading.Thread(target=self._publish, name="lookalike-batches", daemon=True)
                self._threads.add(thread)
                thread.start()
            except RuntimeError:
                self._threads = {thread for thread in self._threads if thread.is_alive()}
                return alive > 0
        return True

    def _publish(self) -> None:
        while (batch := self._next()) is not None:
            try:
                self._send(batch)
            finally:
                with self._lock:
                    self._busy -= 1
                    self._quiet.notify_all()

    def _next(self) -> _Batch | None:
        """Wait for the next batch; None, where this thread is not needed any more."""
        with self._lock:
            while not self._is_due():
                if self._closed and not self._waiting:
                    break
                waits = self._waiting and not self._busy
                if not self._work.wait(self._due_in() if waits else _IDLE_SECONDS) and not self._waiting:
                    break
            taken = [self._waiting.popleft()[1:] for _ in range(min(MAX_EVENTS, len(self._waiting)))]
            if not taken:
                self._threads.discard(threading.current_thread())
                return None
            self._busy += 1
            self._room.notify_all()
        # All may have been cancelled; the batch is empty then.
        return [one for one in taken if one[1].set_running_or_notify_cancel()]

    def _is_due(self) -> bool:
        if self._closed or len(self._waiting) >= MAX_EVENTS:
            return bool(self._waiting)
        return bool(self._waiting) and not self._busy and self._due_in() <= 0

    def _due_in(self) -> float:
        return self._waiting[0][0] + self._delay - self._clock()

    def _send(self, batch: _Batch) -> None:
        pieces = [batch] if batch else []
        while pieces:
            piece = pieces.pop()
            try:
                with tracing.joined(trace for *_, trace in piece):
                    batch_id = self._accept([event for event, *_ in piece]).batch_id
            except Overloaded as error:
                if len(piece) > 1:
                    # What would fit alone is not refused for what came along.
                    middle = len(piece) // 2
                    pieces += [piece[middle:], piece[:middle]]
                    continue
                # Where there is no room for one, there is none for any other.
                for refused in (piece, *pieces):
                    _tell(refused, error)
                return
            except BaseException as error:  # noqa: BLE001 - those who wait are told, whatever it is
                _tell(piece, error)
            else:
                for _, future, _ in piece:
                    future.set_result(batch_id)


def _tell(batch: _Batch, error: BaseException) -> None:
    for _, future, _ in batch:
        # Each caller raises one of its own: a traceback belongs to one thread.
        own = type(error)(*error.args) if isinstance(error, LookalikeError) else error
        own.__cause__ = error.__cause__
        future.set_exception(own)


@atexit.register
def _flush_all() -> None:
    for shared in list(_all):
        shared.flush()


# The threads that would publish are the parent's. What it waits for, it sends.
os.register_at_fork(after_in_child=_all.clear)
