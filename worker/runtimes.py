"""One runtime for each process."""

import os
import threading
from collections.abc import Callable

from producer.consumption import Consumption
from producer.ledger import Ledger
from producer.publisher import Publisher
from worker.runtime import Runtime
from worker.settings import WorkerSettings


class Runtimes:
    """Gives each process its own runtime, made from the environment when it is first asked for.

    Args:
        make_publisher: makes what publishes retries.
        consumption: of the worker that these processes are; may be replaced until a runtime is made.
    """

    def __init__(self, make_publisher: Callable[[Ledger], Publisher], consumption: Consumption) -> None:
        self._make_publisher = make_publisher
        self.consumption = consumption
        self._lock = threading.Lock()
        self._made: tuple[int, Runtime] | None = None

    def current(self) -> Runtime:
        """The runtime of this process."""
        with self._lock:
            if self._made is None or self._made[0] != os.getpid():
                runtime = Runtime(WorkerSettings.from_env(), self._make_publisher, self.consumption)
                self._made = os.getpid(), runtime
            return self._made[1]

    def stop(self) -> None:
        """Have this process hand back what it has not begun. It takes no lock, for it runs in a handler of signals."""
        made = self._made
        if made is not None and made[0] == os.getpid():
            made[1].stop()

    def close(self) -> None:
        """Close this process' runtime, if it has one."""
        with self._lock:
            if self._made is not None and self._made[0] == os.getpid():
                self._made[1].close()
                self._made = None
