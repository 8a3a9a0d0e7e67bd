"""Leases: the sign of life that a process gives for the batches that it works on."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import structlog

from contract import ServiceUnavailable

log = structlog.get_logger(__name__)


class Leases:
    """Renews the leases of all batches that the threads of this process hold, from one thread.

    A process that is killed renews nothing, and soon its batches are overdue. So is a batch that is held for longer
    than any batch takes: what hangs, a decoder say, is left behind and the batch is worked on elsewhere.
    """

    def __init__(
        self,
        renew: Callable[[Iterable[str], float], None],
        *,
        seconds: float,
        longest: float,
        now: Callable[[], float],
    ) -> None:
        """Keep leases.

        Args:
            renew: extends the leases of batches until a time.
            seconds: of a lease; it is renewed three times as often.
            longest: seconds after which a batch is given up.
            now: seconds since 1970.
        """
        self.seconds = seconds
        self._renew = renew
        self._longest = longest
        self._now = now
        self._held: dict[str, float] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def hold(self, batch_id: str) -> Iterator[None]:
        """Renew the lease of a batch while it is worked on in here. If that fails, the lease ends at once."""
        with self._lock:
            self._held[batch_id] = self._now()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
                self._thread.start()
        try:
            yield
        except BaseException:
            # Its message is delivered again, and should not be dropped for a worker that has given up.
            with suppress(ServiceUnavailable):
                self._renew([batch_id], self._now())
            raise
        finally:
            with self._lock:
                self._held.pop(batch_id, None)

    def renew(self) -> None:
        """Renew all leases once; give up those that were held for too long."""
        now = self._now()
        with self._lock:
            for batch_id in [one for one, since in self._held.items() if now - since > self._longest]:
                del self._held[batch_id]
                log.error("batch_hangs", batch=batch_id, seconds=self._longest)
            held = list(self._held)
        try:
            self._renew(held, now + self.seconds)
        except ServiceUnavailable as error:
            log.warning("leases_not_renewed", batches=len(held), error=str(error))

    def close(self) -> None:
        """Stop renewing."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self.seconds / 3):
            self.renew()
