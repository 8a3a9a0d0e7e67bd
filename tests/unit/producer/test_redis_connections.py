"""An address becomes a client of the right server."""

import pytest
from redis.sentinel import SentinelConnectionPool

from producer.redis_connections import connect


def test_sentinels_and_the_servers_behind_them() -> None:
    """All Sentinels are asked; the first address says user, password and database of the servers."""
    with connect("sentinel://me:p%3Bw@a:1/7;sentinel://b;sentinel://c:3/9", master="pictures") as client:
        pool = client.connection_pool
        assert isinstance(pool, SentinelConnectionPool)
        asked = [sentinel.connection_pool.connection_kwargs for sentinel in pool.sentinel_manager.sentinels]
        assert [(one["host"], one["port"]) for one in asked] == [("a", 1), ("b", 26379), ("c", 3)]
        assert pool.service_name == "pictures"
        servers = pool.connection_kwargs
        assert (servers["username"], servers["password"], servers["db"]) == ("me", "p;w", 7)


@pytest.mark.parametrize("url", ["redis://a/0", "sentinel://a/0"])
def test_every_operation_has_a_deadline(url: str) -> None:
    """Whoever waits for the ledger hears of it."""
    with connect(url, master="mymaster") as client:
        known = client.connection_pool.connection_kwargs
        assert known["socket_timeout"] > known["socket_connect_timeout"] > 0
