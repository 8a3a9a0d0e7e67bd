"""Ways in which a server takes no writes any more."""

from typing import Any

import redis


def read_only(valkey: Any) -> None:
    """Make a server the replica of one that does not exist."""
    with redis.Redis.from_url(valkey.connection_url) as server:
        server.replicaof("127.0.0.1", 1)


def full(valkey: Any) -> None:
    """Leave a server no memory for more."""
    with redis.Redis.from_url(valkey.connection_url) as server:
        server.config_set("maxmemory", 1)


def stopped(valkey: Any) -> None:
    """Stop a server."""
    valkey.stop()
