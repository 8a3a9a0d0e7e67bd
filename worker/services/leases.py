"""Leases: the sign of life that a process gives for the batches that it works on."""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from contract import ServiceUnavailable

log = structlog.get_logger(__name__)


class Ledger(Protocol):
    """Where the leases are written down."""

    def renew(self, batch_ids: Iterable[str], until: float) -> None:
        """Keep leases until a time."""

    def let_go(self, batch_ids: Iterable[str], due: float) -> None:
        """Give leases up."""


@dataclass(frozen=True, slots=True)
class _Held:
    since: float
    thread: int


class Leases:
    """Renews the leases of all batches that the threads of this process hold, from one thread.

    A process that is killed renews nothing, and soon its batches are overdue. A batch that is held for longer than any
    batch takes, or by a thread that hangs, is reported, once, and no longer renewed.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        seconds: float,
        longest: float,
        now: Callable[[], float],
        hanging: Callable[[], Collection[int]] = frozenset,
        on_hang: Callable[[str], None] = lambda _: None,
        on_round: Callable[[], None] = lambda: None,
    ) -> None:
        """Keep leases.

        Args:
            ledger: where they are.
            seconds: of a lease; it is renewed three times as often.
            longest: seconds after which a batch hangs.
            now: seconds since 1970.
            hanging: the threads (`threading.get_ident()`) that are known to hang.
            on_hang: told the id of a batch that hangs.
            on_round: called at each renewal, so that somebody else can see that this thread runs.
        """
        self.seconds = seconds
        self._ledger = ledger
        self._longest = longest
        self._now = now
        self._hanging = hanging
        self._on_hang = on_hang
        self._on_round = on_round
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def hold(self, batch_id: str) -> Iterator[None]:
        """Renew the lease of a batch while it is worked on in here. If that fails, the lease ends at once."""
        with self._lock:
            self._held[batch_id] = _Held(self._now(), threading.get_ident())
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
                self._thread.start()
        try:
            yield
        except BaseException:
            # Its message is delivered again, and should not be dropped for a worker that has given up.
            with suppress(ServiceUnavailable):
                self._ledger.let_go([batch_id], self._now() + self.seconds)
            raise
        finally:
            with self._lock:
                self._held.pop(batch_id, None)

    def renew(self) -> None:
        """Renew all leases once, and report those whose batch hangs."""
        for batch_id in self._take_hanging():
            log.error("batch_hangs", batch=batch_id)
            self._on_hang(batch_id)
        with self._lock:
            held = list(self._held)
        try:
            self._ledger.renew(held, self._now() + self.seconds)
        except ServiceUnavailable as error:
            log.warning("leases_not_renewed", batches=len(held), error=str(error))

    def let_go(self) -> int:
        """Give up all leases, for the process ends: their batches are overdue at once.

        Returns:
            How many there were.
        """
        with self._lock:
            held, self._held = list(self._held), {}
        with suppress(ServiceUnavailable):
            self._ledger.let_go(held, self._now())
        return len(held)

    def close(self) -> None:
        """Stop renewing."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _take_hanging(self) -> list[str]:
        now, threads = self._now(), self._hanging()
        with self._lock:
            hanging = [
                batch_id
                for batch_id, held in self._held.items()
                if now - held.since > self._longest or held.thread in threads
            ]
            for batch_id in hanging:
                del self._held[batch_id]
        return hanging

    def _run(self) -> None:
        while not self._stop.wait(self.seconds / 3):
            self._on_round()
            self.renew()
