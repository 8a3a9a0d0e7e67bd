"""Serving the endpoint over HTTP, within limits, until it is told to stop."""

import asyncio
import math
from typing import Any, Final

import structlog
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

log = structlog.get_logger(__name__)

_HEADER_SECONDS: Final = 10.0
_HEADER_BYTES: Final = 32 * 1024
_CONNECTIONS: Final = 1000
_BACKLOG: Final = 1024


class BoundedProtocol(H11Protocol):
    """HTTP/1.1, of which a connection is closed that does not begin a request in time; uvicorn waits for ever."""

    header_seconds = _HEADER_SECONDS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._expect()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._expect()

    def _expect(self) -> None:
        self.loop.call_later(self.header_seconds, self._end, self.cycle)

    def _end(self, last: Any) -> None:
        waits = last is None or last.response_complete
        if waits and self.cycle is last and not self.transport.is_closing():
            self.transport.close()


def serve(application: Starlette, *, host: str, port: int, seconds: float) -> None:
    """Serve until SIGTERM or SIGINT; then what has begun is finished, and nothing more begins.

    Args:
        application: what is served.
        host: address to listen on.
        port: to listen on.
        seconds: that a request may take.
    """
    config = uvicorn.Config(
        application,
        host=host,
        port=port,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        limit_concurrency=_CONNECTIONS,
        h11_max_incomplete_event_size=_HEADER_BYTES,
        timeout_graceful_shutdown=math.ceil(seconds) + 1,
    )
    uvicorn.Server(config).run()
