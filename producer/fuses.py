"""Blown fuses: which workers have stopped themselves, and why. Workers write it down, `Client.status` reads it.

A worker that dies cannot take its entry back, so one that is not renewed is soon no longer believed.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final, cast

import redis

from producer.errors import vendor_errors

_FUSES: Final = "{lookalike}:fuses"
_WHAT: Final = "the fuses"
# A worker renews its entry at every probe: every 15 s, unless OSS and Milvus let it wait.
_BELIEVED_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class BlownFuse:
    """A worker that takes no uploads until what is wrong is mended.

    Attributes:
        worker: its name, as Celery knows it.
        cause: `misconfigured` or `dead_share`.
        why: what was wrong, for a person.
        since: when it stopped, ISO 8601 in UTC.
    """

    worker: str
    cause: str
    why: str
    since: str


class Fuses:
    """The blown fuses of all workers, in the ledger's Redis.

    All methods raise `ServiceUnavailable` when Redis cannot be reached or refuses.
    """

    def __init__(self, connection: redis.Redis) -> None:
        self._redis = connection

    def show(self, fuse: BlownFuse, now: float) -> None:
        """Write a blown fuse down, or renew it. One of the same worker is replaced."""
        entry = {name: value for name, value in asdict(fuse).items() if name != "worker"} | {"seen": now}
        with vendor_errors(_WHAT):
            self._redis.hset(_FUSES, fuse.worker, json.dumps(entry))

    def clear(self, worker: str) -> None:
        """Strike out a worker's fuse; where there is none nothing happens."""
        with vendor_errors(_WHAT):
            self._redis.hdel(_FUSES, worker)

    def read(self, now: float) -> list[BlownFuse]:
        """Read the blown fuses, by worker. Those that were not renewed for two minutes are struck out."""
        with vendor_errors(_WHAT):
            found = cast("dict[str, str]", self._redis.hgetall(_FUSES))
            entries: dict[str, dict[str, Any]] = {worker: json.loads(text) for worker, text in sorted(found.items())}
            gone = [worker for worker, entry in entries.items() if now - entry.pop("seen") > _BELIEVED_SECONDS]
            if gone:
                self._redis.hdel(_FUSES, *gone)
        return [BlownFuse(worker, **entry) for worker, entry in entries.items() if worker not in gone]
