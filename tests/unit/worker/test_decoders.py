"""A bounded number of decodes at once, and an eye on those that never end."""

import threading

import pytest

from worker.services.decoders import Decoders


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


def in_threads(decoders: Decoders, number: int) -> list[threading.Thread]:
    """Decode in so many threads."""
    threads = [threading.Thread(target=decoders, args=(b"x",)) for _ in range(number)]
    for thread in threads:
        thread.start()
    return threads


def test_no_more_are_decoded_at_once_than_there_is_room_for() -> None:
    """Others wait, and have their turn."""
    gate = Gate()
    decoders = Decoders(gate, at_once=2, seconds=60)
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
    decoders = Decoders(gate, at_once=1, seconds=60, monotonic=lambda: now[0])
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

    decoders = Decoders(fail, at_once=1, seconds=60)
    for _ in range(3):
        with pytest.raises(ValueError, match="bad"):
            decoders(b"bad")
    assert decoders.hanging() == set()
