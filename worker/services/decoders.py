"""Decoding: a bounded number of pixels at once, and an eye on pictures that never end."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from producer import tracing
from worker import metrics
from worker.core.fingerprints import Fingerprint
from worker.services.helpers import helped_thread
from worker.services.room import Room


class Decoders:
    """Hashes pictures. It is shared by the threads of a process.

    Decoding is bound by the processor, and holds the whole picture in memory. Pictures of the usual size are decoded
    `at_once`; a large one takes the place of several, or is alone.
    """

    def __init__(
        self,
        fingerprint: Callable[[bytes], Fingerprint],
        count_pixels: Callable[[bytes], int],
        *,
        at_once: int,
        pixels: int,
        seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Decode.

        Args:
            fingerprint: from a picture's bytes to its hashes.
            count_pixels: from its bytes to how many pixels it has, without decoding it.
            at_once: how many are decoded at a time at the most; others wait.
            pixels: of all that are decoded at a time. A picture of more is decoded alone.
            seconds: a decode that takes longer hangs.
            monotonic: a clock.
        """
        self._fingerprint = fingerprint
        self._count_pixels = count_pixels
        self._share = max(1, pixels // at_once)
        self._room = Room(at_once * self._share)
        self._seconds = seconds
        self._monotonic = monotonic
        self._begun: dict[int, tuple[int, float]] = {}

    def __call__(self, body: bytes) -> Fingerprint:
        """Hash a picture, and raise what `fingerprint` raises."""
        with self._watched():
            pixels = self._count_pixels(body)
        with ExitStack() as room:
            with metrics.DECODE_WAIT.time():
                room.enter_context(self._room.take(max(pixels, self._share)))
            with self._watched(), metrics.DECODE_AND_HASH.time(), tracing.span("decode_and_hash"):
                return self._fingerprint(body)

    def hanging(self) -> set[int]:
        """The threads (`threading.get_ident()`) whose decode hangs: its own, or one that helps it with its batch."""
        now = self._monotonic()
        return {helped for helped, begun in list(self._begun.values()) if now - begun > self._seconds}

    @contextmanager
    def _watched(self) -> Iterator[None]:
        thread = threading.get_ident()
        self._begun[thread] = helped_thread(), self._monotonic()
        try:
            yield
        finally:
            del self._begun[thread]
