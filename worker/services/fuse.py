"""The fuse: stops a worker where nothing can succeed, says why, and lets it go on when that is mended.

It is the circuit breaker of Michael Nygard's "Release It!", around the consumption of uploads.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Protocol

import structlog

from contract import Reason, ServiceUnavailable
from worker.core.errors import FuseBlown, Misconfigured, Transient
from worker.core.outcomes import Dead, Indexed, Outcome, Removed, Retry, Unchanged, explain

log = structlog.get_logger(__name__)

_LONGEST_REST: Final = 600.0
_TRIAL_EVENTS: Final = 20
_SAID_AGAIN_SECONDS: Final = 60.0
_CLOSE_SECONDS: Final = 5.0


class Cause(StrEnum):
    """Why a fuse is blown."""

    MISCONFIGURED = "misconfigured"
    DEAD_SHARE = "dead_share"


@dataclass(frozen=True, slots=True)
class FuseRules:
    """When the fuse blows, and when it is tried again.

    Attributes:
        events: the dead share is that of so many events, the last that ended; of fewer it says nothing.
        dead_share: a larger one blows the fuse; 1 never does.
        rest: seconds until it is tried again, doubled each time it blows again, to at most 600.
        probe: seconds between two looks at whether it is mended.
    """

    events: int = 500
    dead_share: float = 0.5
    rest: float = 30.0
    probe: float = 15.0


@dataclass(frozen=True, slots=True)
class Blown:
    """The state of a blown fuse.

    Attributes:
        cause: why, for a program.
        why: why, for a person.
        since: seconds since 1970.
        rest: seconds for which it stays blown in any case.
    """

    cause: Cause
    why: str
    since: float
    rest: float


class Consumption(Protocol):
    """Consumes from this worker's queues of uploads. Both methods may be repeated, and raise `ServiceUnavailable`."""

    def stop(self) -> None:
        """Take no more messages."""

    def resume(self) -> None:
        """Take messages again."""


class Fuse:
    """One for each process, shared by its threads.

    Whoever asks OSS or Milvus calls `require_whole` before, and `blow` when it is refused for reasons that are no
    event's. Threads that work only change the state; what takes time (the broker, the probe, the report) is done by
    `check`, which one thread of the fuse's own calls again and again.

    A fuse that goes on is on probation: where it blows again before an event has succeeded, it rests for longer. After
    a dead share it is so until 20 events have ended well enough; that is the half-open state of a circuit breaker.
    """

    def __init__(
        self,
        consumption: Consumption,
        *,
        probe: Callable[[], None],
        report: Callable[[Blown | None], None],
        rules: FuseRules,
        now: Callable[[], float],
    ) -> None:
        """Begin whole.

        Args:
            consumption: is stopped and resumed.
            probe: returns when OSS and Milvus can be used; raises `Misconfigured` or `Transient` while not.
            report: tells other processes the state, None when it is whole; may raise `ServiceUnavailable`.
            rules: when it blows.
            now: seconds since 1970.
        """
        self._consumption = consumption
        self._probe = probe
        self._report = report
        self._rules = rules
        self._now = now
        self._lock = threading.Lock()
        self._blown: Blown | None = None
        self._probation: Blown | None = None
        self._window = self._new_window(rules.events)
        # Known to the thread that calls `check` alone. Consuming is None where the worker's answer is not known.
        self._consuming: bool | None = True
        self._said = 0.0
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Call `check` from a thread: at once when the fuse blows, and at every probe."""
        self._thread = threading.Thread(target=self._run, name="fuse", daemon=True)
        self._thread.start()

    def inherit(self) -> None:
        """Have consumption resumed at the next check: a process whose place this one takes may have died blown."""
        self._consuming = None

    def close(self) -> None:
        """Stop the thread, and take back what was reported."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)
        if self._blown is not None or self._consuming is not True:
            self._tell(None)

    def require_whole(self) -> None:
        """Let the caller pass while the fuse is whole.

        Raises:
            FuseBlown: it is not. The event is to be handed back, untried.
        """
        blown = self._blown
        if blown is not None:
            raise FuseBlown(f"not tried, this worker's fuse is blown: {blown.cause}: {blown.why}")

    def blow(self, error: Misconfigured) -> None:
        """Blow, because the configuration is refused. A blown fuse stays as it is."""
        with self._lock:
            self._blow(Cause.MISCONFIGURED, explain(error))

    def watching(
        self, ingest: Callable[[Sequence[object], int, float], list[Outcome]]
    ) -> Callable[[Sequence[object], int, float], list[Outcome]]:
        """Wrap an ingest, so that the fuse is told of every outcome."""

        def watched(events: Sequence[object], attempt: int, since: float) -> list[Outcome]:
            outcomes = ingest(events, attempt, since)
            self.judge(outcomes)
            return outcomes

        return watched

    def judge(self, outcomes: Iterable[Outcome]) -> None:
        """Take the outcomes of a batch into account.

        A retry has not ended. An event that fits no contract says something of who sent it and nothing of this worker,
        so it counts neither as dead nor as an event. No more does one of an object that is nobody's picture: a bucket
        may be full of them.
        """
        with self._lock:
            for outcome in outcomes:
                match outcome:
                    case Retry() | Dead(reason=Reason.INVALID | Reason.UNMAPPED):
                        continue
                    case Dead():
                        self._ended(dead=True)
                    case Unchanged() | Removed():
                        self._ended(dead=False)
                    case Indexed():
                        if self._probation is not None and self._probation.cause is Cause.MISCONFIGURED:
                            self._probation = None
                        self._ended(dead=False)

    def check(self) -> None:
        """Bring the worker into line with the state, report it, and see whether it is mended."""
        blown = self._blown
        if blown is not None:
            self._stop()
            self._tell(blown)
            if self._is_trial_due(blown):
                self._go_on(blown, trial=True)
            elif self._is_mended(blown):
                self._go_on(blown, trial=False)
            elif self._now() - self._said >= _SAID_AGAIN_SECONDS:
                self._say_again()
        if self._blown is None and self._consuming is not True:
            self._resume()

    def _ended(self, *, dead: bool) -> None:
        if self._blown is not None:
            return
        self._window.append(dead)
        if len(self._window) < (self._window.maxlen or 0):
            return
        share = sum(self._window) / len(self._window)
        if share > self._rules.dead_share:
            why = f"{sum(self._window)} of the last {len(self._window)} events became dead letters"
            self._blow(Cause.DEAD_SHARE, why)
        elif self._probation is not None and self._probation.cause is Cause.DEAD_SHARE:
            self._probation = None
            self._window = self._new_window(self._rules.events)

    def _blow(self, cause: Cause, why: str) -> None:
        if self._blown is not None:
            return
        if self._probation is None:
            rest = 0.0 if cause is Cause.MISCONFIGURED else self._rules.rest
        else:
            rest = max(2 * self._probation.rest, self._rules.rest)
        self._blown = Blown(cause, why, self._now(), min(rest, _LONGEST_REST))
        self._said = self._now()
        log.error("fuse_blown", cause=cause, why=why)
        self._wake.set()

    def _is_trial_due(self, blown: Blown) -> bool:
        # Whether events succeed only events can say. And what the probe asks for may have become unreadable for reasons
        # of its own; then it would say no for ever.
        wait = blown.rest if blown.cause is Cause.DEAD_SHARE else _LONGEST_REST
        return self._now() - blown.since >= wait

    def _is_mended(self, blown: Blown) -> bool:
        if blown.cause is Cause.DEAD_SHARE or self._now() - blown.since < blown.rest:
            return False
        try:
            self._probe()
        except Transient:
            return False
        except Misconfigured as error:
            with self._lock:
                self._blown = replace(blown, why=explain(error))
            return False
        return True

    def _go_on(self, blown: Blown, *, trial: bool) -> None:
        few = min(_TRIAL_EVENTS, self._rules.events)
        share = blown.cause is Cause.DEAD_SHARE
        with self._lock:
            self._blown = None
            # A probe that went on saying no was right, if the trial fails: it is asked again as often as before.
            self._probation = None if trial and not share else blown
            self._window = self._new_window(few if share else self._rules.events)
        seconds = round(self._now() - blown.since, 1)
        log.info("fuse_mended", cause=blown.cause, why=blown.why, seconds=seconds, trial=trial)

    def _say_again(self) -> None:
        self._said = self._now()
        if (blown := self._blown) is not None:
            seconds = round(self._said - blown.since, 1)
            log.warning("fuse_still_blown", cause=blown.cause, why=blown.why, seconds=seconds)

    def _stop(self) -> None:
        if self._consuming is False:
            return
        self._consuming = None
        try:
            self._consumption.stop()
        except ServiceUnavailable as error:
            log.warning("consumption_not_stopped", error=str(error))
        else:
            self._consuming = False

    def _resume(self) -> None:
        self._consuming = None
        try:
            self._consumption.resume()
        except ServiceUnavailable as error:
            log.warning("consumption_not_resumed", error=str(error))
        else:
            self._consuming = True
            self._tell(None)

    def _tell(self, blown: Blown | None) -> None:
        try:
            self._report(blown)
        except ServiceUnavailable as error:
            log.warning("fuse_not_reported", error=str(error))

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(self._rules.probe)
            self._wake.clear()
            if self._closing.is_set():
                return
            try:
                self.check()
            except Exception:
                # Without this thread a blown fuse would stay blown.
                log.exception("fuse_check_failed")

    @staticmethod
    def _new_window(events: int) -> deque[bool]:
        return deque(maxlen=events)
