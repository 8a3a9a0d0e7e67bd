"""How far long jobs have come, in the ledger's Redis, so that whoever asks next goes on from there."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final
from uuid import uuid4

import redis

from worker.adapters.redis_errors import redis_errors
from worker.core.errors import Busy, Transient

_KEPT_SECONDS: Final = 24 * 3600
_LOCK_SECONDS: Final = 60

# ARGV: token.
_UNLOCK: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


class RedisJobs:
    """The checkpoints of jobs, by name. Each is kept for a day after it was last saved."""

    def __init__(self, connection: redis.Redis) -> None:
        self._connection = connection
        self._unlock = connection.register_script(_UNLOCK)

    def load(self, name: str) -> Any:
        """Read a checkpoint; None where there is none."""
        with redis_errors():
            text = self._connection.get(_key(name))
        return None if text is None else json.loads(str(text))

    def save(self, name: str, checkpoint: Any) -> None:
        """Write a checkpoint, of what JSON can hold, in place of the one before."""
        with redis_errors():
            self._connection.set(_key(name), json.dumps(checkpoint), ex=_KEPT_SECONDS)

    def drop(self, name: str) -> None:
        """Forget a checkpoint."""
        with redis_errors():
            self._connection.delete(_key(name))

    @contextmanager
    def turn(self, name: str, *, seconds: int = _LOCK_SECONDS) -> Iterator[None]:
        """Have a job alone for one step, for so long at the most.

        Raises:
            Busy: somebody else has it.
        """
        token = uuid4().hex
        with redis_errors():
            ours = self._connection.set(f"{_key(name)}:turn", token, nx=True, ex=seconds)
        if not ours:
            raise Busy("another worker is at this job")
        try:
            yield
        finally:
            with suppress(Transient), redis_errors():  # it ends by itself
                self._unlock(keys=[f"{_key(name)}:turn"], args=[token])


def _key(name: str) -> str:
    return f"{{lookalike}}:job:{name}"
