"""Long jobs: tasks that do a part of the work in each call, and are called until it is done."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

from contract import ServiceUnavailable

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 5.0

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
        ServiceUnavailable: as `call` did in the end.
    """
    deadline = clock() + patience
    seconds = _FIRST_PAUSE
    while True:
        try:
            return call()
        except ServiceUnavailable:
            if clock() + seconds > deadline or pause(seconds):
                raise
        seconds = min(2 * seconds, _LONGEST_PAUSE)
