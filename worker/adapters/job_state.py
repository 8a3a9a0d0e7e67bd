"""The state of long jobs that is too large for JSON: a hash in the ledger's Redis for each, in values of a megabyte."""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Final, cast

import redis
from redis.client import NEVER_DECODE

from worker.adapters.jobs import RedisJobs
from worker.adapters.redis_errors import redis_errors
from worker.core.errors import Busy, Transient

_KEPT_SECONDS: Final = 24 * 3600
_CHUNK_BYTES: Final = 1_000_000
_CHECKPOINT: Final = "checkpoint"
_VERSION: Final = "version"

# KEYS: the job. ARGV: the version it has, the version it gets, seconds, 1 to begin anew or 0, then
# fields and their values.
_SAVE: Final = """
if (redis.call('HGET', KEYS[1], 'version') or '') ~= ARGV[1] then return 0 end
if ARGV[4] == '1' then redis.call('UNLINK', KEYS[1]) end
redis.call('HSET', KEYS[1], 'version', ARGV[2])
for i = 5, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""


class RedisJobState:
    """A checkpoint and named parts of bytes for each job, by its name. Each job is kept for a day after its last step.

    A part may be of any size; it is stored in values of a megabyte at the most.
    """

    def __init__(self, connection: redis.Redis) -> None:
        self._connection = connection
        self._turns = RedisJobs(connection)
        self._save = connection.register_script(_SAVE)

    def turn(self, name: str) -> AbstractContextManager[None]:
        """Have a job alone for one step. It raises `Busy` where somebody else has it."""
        return self._turns.turn(name)

    def load(self, name: str) -> tuple[Any, int] | None:
        """Read a checkpoint, and the version that the next `save` is to replace; None where there is none."""
        with redis_errors():
            text, version = self._connection.hmget(_key(name), [_CHECKPOINT, _VERSION])
        return None if text is None else (json.loads(str(text)), int(str(version)))

    def read(self, name: str, part: str) -> bytes | None:
        """Read a part; None where there is none.

        Raises:
            Transient: it was replaced meanwhile, or Redis failed.
        """
        with redis_errors():
            count = int(str(self._connection.hget(_key(name), part) or 0))
            fields = [f"{part}:{number}" for number in range(count)]
            chunks = [self._read(_key(name), field) for field in fields]
        if None in chunks:
            raise Transient("the job was begun anew meanwhile")
        return b"".join(filter(None, chunks)) if chunks else None

    def _read(self, key: str, field: str) -> bytes | None:
        """Read a value as it is: the ledger's connection decodes what it reads."""
        return cast("bytes | None", self._connection.execute_command("HGET", key, field, **_AS_IT_IS))  # type: ignore[no-untyped-call] # redis-py's only way to bytes

    def save(
        self,
        name: str,
        checkpoint: Any,
        parts: Mapping[str, bytes],
        *,
        version: int | None,
        anew: bool = False,
    ) -> int:
        """Write a checkpoint and parts, in place of those of the same names, at once.

        Args:
            name: of the job.
            checkpoint: of what JSON can hold.
            parts: bytes by name.
            version: what `load` or `save` gave last; None where there was nothing.
            anew: nothing else of the job is kept.

        Returns:
            The new version.

        Raises:
            Busy: another worker saved a step meanwhile. Nothing is written.
        """
        key, after = _key(name), (version or 0) + 1
        with redis_errors():
            arguments: list[Any] = ["" if version is None else version, after, _KEPT_SECONDS, int(anew)]
            written: list[Any] = [_CHECKPOINT, json.dumps(checkpoint)]
            for part, content in parts.items():
                starts = range(0, max(1, len(content)), _CHUNK_BYTES)
                written += [part, len(starts)]
                for number, start in enumerate(starts):
                    written += [f"{part}:{number}", content[start : start + _CHUNK_BYTES]]
            saved = self._save(keys=[key], args=arguments + written)
        if not saved:
            raise Busy("another worker is at this job")
        return after


_AS_IT_IS: Final[dict[str, Any]] = {NEVER_DECODE: []}


def _key(name: str) -> str:
    return f"{{lookalike}}:job:{name}"
