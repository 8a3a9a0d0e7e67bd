"""A bounded number of pixels at once, and an eye on pictures that never end."""

import threading
import time
from collections.abc import Callable

import pytest

from worker.services.decoders import Decoders
from worker.services.helpers import Helpers
from worker.testing import fingerprinting


class Gate:
    """A decode that waits until it is let through, and counts how many wait."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.inside = threading.Semaphore(0)
        self.at_once = 0
        self.most = 0
        self._lock = threading.Lock()

    def __call__(self, body: bytes) -> bytes:
        """Decode."""
        with self._lock:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        self.inside.release()
        assert self.open.wait(10)
        with self._lock:
            self.at_once -= 1
        return body


def decoders_of(
    create_vector: Callable[[bytes], bytes], *, at_once: int, monotonic: Callable[[], float] = time.monotonic
) -> Decoders:
    """Decoders of 10 pixels each, for pictures of one pixel a byte."""
    return Decoders(
        fingerprinting(create_vector), len, at_once=at_once, pixels=at_once * 10, seconds=60, monotonic=monotonic
    )


def in_threads(decoders: Decoders, number: int) -> list[threading.Thread]:
    """Decode in so many threads."""
    threads = [threading.Thread(target=decoders, args=(b"x",)) for _ in range(number)]
    for thread in threads:
        thread.start()
    return threads


def test_no_more_are_decoded_at_once_than_there_is_room_for() -> None:
    """Others wait, and have their turn."""
    gate = Gate()
    decoders = decoders_of(gate, at_once=2)
    threads = in_threads(decoders, 5)
    for _ in range(2):
        assert gate.inside.acquire(timeout=10)
    gate.open.set()
    for thread in threads:
        thread.join(10)
    assert gate.most <= 2
    assert gate.at_once == 0


def test_a_decode_that_takes_too_long_is_named_by_its_thread() -> None:
    """One that ended, well or badly, is not, nor one that still waits for its turn."""
    now, gate = [100.0], Gate()
    decoders = decoders_of(gate, at_once=1, monotonic=lambda: now[0])
    threads = in_threads(decoders, 2)
    assert gate.inside.acquire(timeout=10)
    assert decoders.hanging() == set()
    now[0] += 61
    (hangs,) = decoders.hanging()
    assert hangs in {thread.ident for thread in threads}
    gate.open.set()
    for thread in threads:
        thread.join(10)
    assert decoders.hanging() == set()


def test_an_error_frees_its_place() -> None:
    """What the decoder raises is passed on."""

    def fail(body: bytes) -> bytes:
        raise ValueError(body.decode())

    decoders = decoders_of(fail, at_once=1)
    for _ in range(3):
        with pytest.raises(ValueError, match="bad"):
            decoders(b"bad")
    assert decoders.hanging() == set()


@pytest.mark.parametrize(
    ("sizes", "most"), [([10] * 5, 4), ([11] * 5, 3), ([20] * 5, 2), ([21] * 3, 1), ([500] * 3, 1)]
)
def test_large_pictures_are_fewer_at_once(sizes: list[int], most: int) -> None:
    """As many as their pixels have room for; one of more pixels than there is room for is decoded alone."""
    gate = Gate()
    decoders = decoders_of(gate, at_once=4)
    threads = [threading.Thread(target=decoders, args=(bytes(size),)) for size in sizes]
    for thread in threads:
        thread.start()
    for _ in range(most):
        assert gate.inside.acquire(timeout=10)
    gate.open.set()
    for thread in threads:
        thread.join(10)
    assert gate.most == most


def test_a_decode_in_a_helper_is_named_by_the_thread_that_it_helps() -> None:
    """That thread's batch is the one that hangs."""
    now, gate, helpers = [100.0], Gate(), Helpers(3)
    decoders = decoders_of(gate, at_once=3, monotonic=lambda: now[0])
    batch = threading.Thread(target=helpers.map, args=(decoders, [b"x"] * 3))
    batch.start()
    for _ in range(3):
        assert gate.inside.acquire(timeout=10)
    now[0] += 61
    assert decoders.hanging() == {batch.ident}
    gate.open.set()
    batch.join(10)
    helpers.close()
    assert decoders.hanging() == set()


def test_a_header_that_never_ends_hangs_too() -> None:
    """Counting pixels is a part of decoding."""
    now, gate = [100.0], Gate()

    def count(body: bytes) -> int:
        return len(gate(body))

    decoders = Decoders(fingerprinting(bytes), count, at_once=1, pixels=10, seconds=60, monotonic=lambda: now[0])
    (thread,) = in_threads(decoders, 1)
    assert gate.inside.acquire(timeout=10)
    now[0] += 61
    assert decoders.hanging() == {thread.ident}
    gate.open.set()
    thread.join(10)
