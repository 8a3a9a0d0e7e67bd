"""Decoding: a bounded number of pictures at once, and an eye on those that never end."""

import threading
import time
from collections.abc import Callable


class Decoders:
    """Hashes pictures. It is shared by the threads of a process.

    Decoding is bound by the processor, and holds the whole picture in memory.
    """

    def __init__(
        self,
        create_vector: Callable[[bytes], bytes],
        *,
        at_once: int,
        seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Decode.

        Args:
            create_vector: from a picture's bytes to its vector.
            at_once: how many are decoded at a time; others wait.
            seconds: a decode that takes longer hangs.
            monotonic: a clock.
        """
        self._create_vector = create_vector
        self._room = threading.BoundedSemaphore(at_once)
        self._seconds = seconds
        self._monotonic = monotonic
        self._begun: dict[int, float] = {}

    def __call__(self, body: bytes) -> bytes:
        """Hash a picture, and raise what `create_vector` raises."""
        with self._room:
            thread = threading.get_ident()
            self._begun[thread] = self._monotonic()
            try:
                return self._create_vector(body)
            finally:
                del self._begun[thread]

    def hanging(self) -> set[int]:
        """The threads (`threading.get_ident()`) whose decode hangs."""
        now = self._monotonic()
        return {thread for thread, begun in list(self._begun.items()) if now - begun > self._seconds}
