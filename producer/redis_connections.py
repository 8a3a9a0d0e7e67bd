"""Connecting to Redis or Valkey: one server, or whichever Sentinel says is the master."""

from typing import Any, Final
from urllib.parse import unquote, urlsplit

import redis
from redis.sentinel import Sentinel

from producer.addresses import each_address

_SENTINEL_PORT: Final = 26379
_SOCKET_SECONDS: Final = 10.0
_CONNECT_SECONDS: Final = 5.0


def connect(url: str, *, master: str) -> redis.Redis:
    """Make a client whose every operation has its deadline; nothing connects yet.

    Args:
        url: `redis://`, `rediss://` or `unix://`; or `sentinel://` for each Sentinel, with semicolons between. Of
            these the first says user, password and database of the servers.
        master: the name that the Sentinels give to the servers. Not used with other addresses.

    Raises:
        ValueError: the address cannot be used.
    """
    if not url.startswith("sentinel://"):
        return redis.Redis.from_url(
            url, decode_responses=True, socket_timeout=_SOCKET_SECONDS, socket_connect_timeout=_CONNECT_SECONDS
        )
    parts = [urlsplit(address) for address in each_address(url)]
    first = parts[0]
    sentinels: Any = Sentinel(  # type: ignore[no-untyped-call]
        [(part.hostname or "localhost", part.port or _SENTINEL_PORT) for part in parts],
        socket_timeout=_SOCKET_SECONDS,
        socket_connect_timeout=_CONNECT_SECONDS,
    )
    connection: redis.Redis = sentinels.master_for(
        master,
        db=int(first.path.strip("/") or 0),
        username=None if not first.username else unquote(first.username),
        password=None if first.password is None else unquote(first.password),
        decode_responses=True,
    )
    return connection
