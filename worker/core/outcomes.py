"""How an event of a batch ended, and what an error means for it."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from contract import ObjectEvent, Reason, UploadEvent
from worker.core.errors import Misconfigured, ObjectMissing, Permanent, Transient


@dataclass(frozen=True, slots=True)
class Indexed:
    """Its row is in Milvus, acknowledged."""

    event: UploadEvent


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Its row was there already, made from the same object with the same content; or a later event replaced it."""

    event: UploadEvent


@dataclass(frozen=True, slots=True)
class Removed:
    """Its object was said to be gone. Where it is, the picture has no row of it any more."""

    event: UploadEvent


@dataclass(frozen=True, slots=True)
class Retry:
    """It is tried again, `delay` seconds from now.

    Attributes:
        counts: whether this try counts against the event. It does not where the batch merely ran out of time, or
            where the fault is the configuration's.
        overtaken: another attempt at the picture began before this one ended, and this one's row may stand in place of
            the later one's. So it is tried again even where another delivery has settled its batch.
    """

    event: UploadEvent | ObjectEvent
    error: str
    delay: float
    counts: bool = True
    overtaken: bool = False


@dataclass(frozen=True, slots=True)
class Dead:
    """It is given up. `event` is as it was sent, and may be anything."""

    event: Any
    reason: Reason
    error: str


Outcome = Indexed | Unchanged | Removed | Retry | Dead


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try again, as a value.

    Attributes:
        attempts: after so many tries at a transient failure the event is dead. Twelve take 5 to 10 minutes, longer than
            Milvus needs to restart.
        attempts_missing: the same for an object that is not there. Four take 3.5 to 7 seconds.
        base: seconds before the second try; doubled for each one after.
        cap: no wait is longer, in seconds. It must stay below half of the visibility timeout, because a waiting
            message is held unacknowledged.
    """

    attempts: int = 12
    attempts_missing: int = 4
    base: float = 1.0
    cap: float = 120.0

    def delay(self, attempt: int, chance: Callable[[], float] = random.random) -> float:
        """Seconds to wait after the `attempt`-th try: exponential, half of it left to chance ("equal jitter").

        After Marc Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
        """
        full = min(self.cap, self.base * 2.0 ** min(attempt - 1, 60))
        return full * (1 + chance()) / 2

    def decide(self, event: UploadEvent | ObjectEvent, error: Exception, attempt: int) -> Retry | Dead:
        """Say what an error at the `attempt`-th try (1 is the first) means for the event."""
        explained = explain(error)
        match error:
            case Permanent():
                return Dead(event.model_dump(), error.reason, explained)
            case ObjectMissing() if attempt >= self.attempts_missing:
                return Dead(event.model_dump(), Reason.NOT_FOUND, explained)
            case Misconfigured():
                # Not the event's fault: it waits until somebody has mended it.
                return Retry(event, explained, self.cap, counts=False)
            case _ if attempt >= self.attempts:
                return Dead(event.model_dump(), Reason.UNAVAILABLE, explained)
            case _:
                return Retry(event, explained, self.delay(attempt))


_EXPLANATION_MAX: Final = 500


def explain(error: Exception) -> str:
    """Put an error into one short line for a person."""
    text = (
        str(error) if isinstance(error, Transient | Permanent | Misconfigured) else f"{type(error).__name__}: {error}"
    )
    return " ".join(text.split())[:_EXPLANATION_MAX]
