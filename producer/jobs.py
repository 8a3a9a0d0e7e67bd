"""Long jobs: tasks that do a part of the work in each call, and are called until it is done."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

from contract import ServiceMisconfigured, ServiceUnavailable

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 5.0
_PART_SECONDS: Final = 2.0

_T = TypeVar("_T")


def call_patiently(
    call: Callable[[], _T],
    *,
    patience: float,
    pause: Callable[[float], bool],
    clock: Callable[[], float] = time.monotonic,
) -> _T:
    """Call for the next part, again where the service fails: the job goes on where it was.

    Args:
        call: asks for it.
        patience: seconds for which the service may fail without a break.
        pause: sleeps for a number of seconds, and says whether the client was closed.
        clock: monotonic seconds.

    Raises:
        ServiceUnavailable: as `call` did in the end; at once, where it is for how the service is configured.
    """
    deadline = clock() + patience
    seconds = _FIRST_PAUSE
    while True:
        try:
            return call()
        except ServiceMisconfigured:
            raise
        except ServiceUnavailable:
            if clock() + seconds > deadline or pause(seconds):
                raise
        seconds = min(2 * seconds, _LONGEST_PAUSE)


class Pace:
    """Keeps a job to a number of events a second.

    Args:
        rate: events a second; None: as many as there are.
        pause: sleeps for a number of seconds, and says whether the client was closed.
        clock: monotonic seconds.
    """

    def __init__(
        self, rate: float | None, pause: Callable[[float], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._pause = pause
        self._clock = clock
        self._begun = clock()
        self._most = 0
        self._before = 0

    def begin(self, room: int) -> int:
        """Begin a part: how many events it may have, of those that there is room for."""
        self._begun = self._clock()
        self._most = room if self._rate is None else max(1, min(room, round(self._rate * _PART_SECONDS)))
        return self._most

    def end(self, enqueued: int) -> None:
        """End a part, when its time has passed.

        Args:
            enqueued: events of the whole job until now, of which some may have been enqueued before it was taken up.
        """
        events = min(self._most, enqueued - self._before)
        self._before = enqueued
        if self._rate is not None:
            left = events / self._rate - (self._clock() - self._begun)
            if left > 0:
                self._pause(left)
