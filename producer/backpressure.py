"""Waiting for a backlog to shrink."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from contract import InvalidMessage, Overloaded

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0


@dataclass(frozen=True, slots=True)
class Backpressure:
    """When producers wait, and how.

    Attributes:
        outstanding: counts the outstanding events.
        high: from so many on, a producer waits.
        low: until no more than so many are left.
        limit: more are never accepted.
        pause: sleeps for a number of seconds, and says whether the client was closed.
        clock: monotonic seconds.
    """

    outstanding: Callable[[], int]
    high: int
    low: int
    limit: int
    pause: Callable[[float], bool]
    clock: Callable[[], float] = time.monotonic

    def bounded(self, seconds: float | None, waiting: Callable[[int], None] | None) -> "Wait":
        """Make what one stream of events waits with.

        Args:
            seconds: that one wait may take; None: for ever.
            waiting: told at each look how many events are outstanding.

        Raises:
            InvalidMessage: `seconds` is negative, or no number.
        """
        if seconds is not None and not seconds >= 0:
            raise InvalidMessage(f"wait: 0 seconds or more, not {seconds}")
        return Wait(self, seconds, waiting)


@dataclass(frozen=True, slots=True)
class Wait:
    """The waiting of one stream of events. See `Backpressure.bounded`."""

    _rules: Backpressure
    _seconds: float | None
    _waiting: Callable[[int], None] | None

    def is_due(self, outstanding: int) -> bool:
        """Whether so many outstanding events are reason to wait."""
        return outstanding >= self._rules.high

    def room(self) -> int:
        """How many more events may be outstanding before there is reason to wait."""
        return max(0, self._rules.high - self._rules.outstanding())

    def if_due(self, size: int) -> None:
        """Look how many events are outstanding, and wait if that is reason to. Raises what `for_room` raises."""
        if self.is_due(self._rules.outstanding()):
            self.for_room(size)

    def for_room(self, size: int) -> None:
        """Wait until the low watermark is reached, and a batch of `size` events fits below the limit.

        Raises:
            Overloaded: it took too long, or the client was closed.
            ServiceUnavailable: the ledger cannot be asked.
        """
        rules = self._rules
        target = min(rules.low, rules.limit - size)
        deadline = None if self._seconds is None else rules.clock() + self._seconds
        pause = _FIRST_PAUSE
        while (outstanding := rules.outstanding()) > target:
            if self._waiting is not None:
                self._waiting(outstanding)
            left = pause if deadline is None else deadline - rules.clock()
            if left <= 0:
                raise Overloaded(f"{outstanding:,} events are outstanding, after waiting {self._seconds:g} s")
            if rules.pause(min(pause, left)):
                raise Overloaded(f"{outstanding:,} events are outstanding, and the client was closed")
            pause = min(2 * pause, _LONGEST_PAUSE)
