"""What the errors of the ledger's Redis mean."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from worker.core.errors import Transient


@contextmanager
def redis_errors() -> Iterator[None]:
    """Turn what redis-py raises into our own error: it may come back.

    Raises:
        Transient: naming what went wrong.
    """
    try:
        yield
    except redis.RedisError as error:
        raise Transient(f"the ledger's Redis: {type(error).__name__}: {error}") from error
