"""What a piece of work costs: time, the processor time of this process, and that of Valkey."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import redis


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds.

    Attributes:
        wall: from the beginning to the end.
        process: processor time of this process, all its threads together.
        valkey: processor time of Valkey.
    """

    wall: float
    process: float
    valkey: float

    @property
    def cpu(self) -> float:
        """The processor time of both."""
        return self.process + self.valkey


class Meter:
    """Measures what work costs.

    Valkey tells its own processor time, in microseconds (`getrusage`); the kernel's `/proc` counts in steps of 10 ms.
    """

    def __init__(self, valkey_url: str) -> None:
        self._valkey = redis.Redis.from_url(valkey_url, decode_responses=True)

    def close(self) -> None:
        """Close the connection."""
        self._valkey.close()

    def valkey_version(self) -> str:
        """Ask the server."""
        told = self._valkey.info("server")
        return str(told.get("valkey_version", told["redis_version"]))

    def measure(self, work: Callable[[], object]) -> Cost:
        """Do the work once."""
        valkey = self._valkey_seconds()
        process, wall = time.process_time(), time.perf_counter()
        work()
        wall, process = time.perf_counter() - wall, time.process_time() - process
        return Cost(wall, process, self._valkey_seconds() - valkey)

    def _valkey_seconds(self) -> float:
        told = self._valkey.info("cpu")
        return float(told["used_cpu_user"]) + float(told["used_cpu_sys"])
