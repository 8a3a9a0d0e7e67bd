"""Helpers: threads that join in the work on a batch, where there is little else to do."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Final, TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")

_helped: Final[ContextVar[int | None]] = ContextVar("helped", default=None)


def helped_thread() -> int:
    """The thread (`threading.get_ident()`) whose work this one does: the one that it helps, or itself."""
    helped = _helped.get()
    return threading.get_ident() if helped is None else helped


class Helpers:
    """Spreads work over threads. It is shared by the threads of a process.

    Whoever has work does it himself, and helpers join in as long as no more than `at_once` threads are at work: so one
    batch alone has many threads, and of many batches each has its own. Nobody waits for a helper to be free.
    """

    def __init__(self, at_once: int) -> None:
        self._places = threading.Semaphore(at_once)
        self._threads = ThreadPoolExecutor(max(1, at_once), thread_name_prefix="helper")

    def close(self) -> None:
        """Let the threads end, when they have done what they have begun."""
        self._threads.shutdown()

    def map(self, work: Callable[[_T], _R], items: Sequence[_T]) -> list[_R]:
        """Do the work on each item, and return the results in the items' order.

        Items are begun in their order. Helpers have copies of this thread's context variables. After an error nothing
        more is begun, and it is raised when all that was begun has ended.
        """
        todo = deque(enumerate(items))
        results: dict[int, _R] = {}

        def go() -> None:
            try:
                while todo:
                    try:
                        n, item = todo.popleft()
                    except IndexError:  # another thread was faster
                        return
                    results[n] = work(item)
            except BaseException:
                todo.clear()
                raise

        with self._place():
            helpers = list(self._join(go, len(items) - 1))
            try:
                go()
            finally:
                began = [helper for helper in helpers if not helper.cancel()]
                wait(began)
            for helper in began:
                helper.result()
        return [results[n] for n in range(len(items))]

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Take a place if there is one. A thread with work of its own does not wait for it."""
        taken = self._places.acquire(blocking=False)
        try:
            yield
        finally:
            if taken:
                self._places.release()

    def _join(self, go: Callable[[], None], most: int) -> Iterator[Future[None]]:
        helped = helped_thread()
        for _ in range(most):
            if not self._places.acquire(blocking=False):
                return
            context = copy_context()
            context.run(_helped.set, helped)
            helper = self._threads.submit(context.run, go)
            helper.add_done_callback(lambda _: self._places.release())
            yield helper
