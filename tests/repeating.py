"""Something done again and again beside a test."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread


@contextmanager
def every(seconds: float, call: Callable[[], object]) -> Iterator[None]:
    """Call something in a thread of its own, each time after so many seconds, until the block ends."""
    stop = Event()

    def run() -> None:
        while not stop.wait(seconds):
            call()

    thread = Thread(target=run, name=f"every {seconds:g} s")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
