"""Batches that are shared by those who enqueue one event at a time.

While a batch is on its way, the events of others gather, and go together in the next. So a lone caller waits for
nobody, and many together send few messages. Whoever enqueued is told only when the batch with the event is accepted:
nothing is promised that is only in memory.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Protocol

from contract import MAX_EVENTS, Overloaded, ServiceUnavailable

_PUBLISHERS: Final = 2
_MOST_WAITING: Final = 10_000


class Accepted(Protocol):
    """What is known of a batch that was accepted."""

    @property
    def batch_id(self) -> str:
        """Its id."""


class SharedBatches:
    """Gathers events into batches, for all threads of a process. It does nothing until it is used."""

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
        self._waiting: deque[tuple[float, Any, Future[str]]] = deque()
        self._changed = threading.Condition()
        self._flushing = 0
        self._closed = False
        # Its threads end when the interpreter does, after what they have to do.
        self._threads = ThreadPoolExecutor(_PUBLISHERS, thread_name_prefix="lookalike-batches")

    @property
    def is_full(self) -> bool:
        """Whether `submit` would block."""
        return len(self._waiting) >= self._most

    def submit(self, event: Any) -> Future[str]:
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
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self.is_full)
            if self._closed:
                raise ServiceUnavailable("the client is closed")
            self._waiting.append((self._clock(), event, future))
            if self._flushing < _PUBLISHERS and (not self._flushing or len(self._waiting) >= MAX_EVENTS):
                self._begin()
            self._changed.notify_all()
        return future

    def close(self) -> None:
        """Send what waits, and take nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._threads.shutdown()

    def _begin(self) -> None:
        try:
            self._threads.submit(self._flush)
        except RuntimeError as error:  # the interpreter ends
            self._waiting.pop()
            raise ServiceUnavailable("the program ends") from error
        self._flushing += 1

    def _flush(self) -> None:
        while batch := self._next():
            self._send(batch)

    def _next(self) -> list[tuple[Any, Future[str]]]:
        """Take the next batch; nothing, where nothing waits, and then this flush has ended."""
        with self._changed:
            while self._waiting and not self._is_due():
                self._changed.wait(self._waiting[0][0] + self._delay - self._clock())
            taken = [self._waiting.popleft()[1:] for _ in range(min(MAX_EVENTS, len(self._waiting)))]
            if not taken:
                self._flushing -= 1
            self._changed.notify_all()
        batch = [(event, future) for event, future in taken if future.set_running_or_notify_cancel()]
        # All of a batch may have been cancelled, while more wait.
        return batch or (self._next() if taken else [])

    def _is_due(self) -> bool:
        return self._closed or len(self._waiting) >= MAX_EVENTS or self._clock() >= self._waiting[0][0] + self._delay

    def _send(self, batch: Sequence[tuple[Any, Future[str]]]) -> None:
        try:
            batch_id = self._accept([event for event, _ in batch]).batch_id
        except Overloaded as error:
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            # What would fit alone is not refused for what came along.
            middle = len(batch) // 2
            self._send(batch[:middle])
            self._send(batch[middle:])
        except BaseException as error:  # noqa: BLE001 - those who wait are told, whatever it is
            for _, future in batch:
                future.set_exception(error)
        else:
            for _, future in batch:
                future.set_result(batch_id)
