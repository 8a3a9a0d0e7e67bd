"""Room: a bounded amount of memory, shared by threads in the order in which they ask."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from worker.core.errors import Transient


@dataclass(eq=False, slots=True)
class _Ticket:
    amount: int
    admitted: threading.Event = field(default_factory=threading.Event, init=False)


class Room:
    """So much is in use at once, and no more.

    Nobody is passed by, so small amounts do not keep a large one waiting for ever. What is larger than the whole room
    takes all of it, and is alone. A thread that has taken some must neither take more of the same room nor wait for a
    thread that does: so each thread that waits waits only for work that goes on.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._free = size
        self._waiting: deque[_Ticket] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def take(self, amount: int) -> Iterator[None]:
        """Use an amount in here, when it is free."""
        taken = self._acquire(amount, None)
        try:
            yield
        finally:
            self._release(taken)

    @contextmanager
    def reservation(self, deadline: float) -> Iterator[Callable[[int], None]]:
        """Use an amount that is not yet known.

        The value is to be called once, with the amount. It returns when that is free, and raises `Transient` if it is
        not by the deadline, a value of `time.monotonic()`. What it took is given back at the end.
        """
        taken: list[int] = []
        try:
            yield lambda amount: taken.append(self._acquire(amount, deadline))
        finally:
            self._release(sum(taken))

    def _acquire(self, amount: int, deadline: float | None) -> int:
        ticket = _Ticket(min(amount, self._size))
        with self._lock:
            self._waiting.append(ticket)
            self._admit()
        if not ticket.admitted.wait(None if deadline is None else max(0.0, deadline - time.monotonic())):
            with self._lock:
                if not ticket.admitted.is_set():
                    self._waiting.remove(ticket)
                    self._admit()
                    raise Transient(f"no room for its {amount:,} bytes in time")
        return ticket.amount

    def _release(self, amount: int) -> None:
        with self._lock:
            self._free += amount
            self._admit()

    def _admit(self) -> None:
        while self._waiting and self._waiting[0].amount <= self._free:
            ticket = self._waiting.popleft()
            self._free -= ticket.amount
            ticket.admitted.set()
