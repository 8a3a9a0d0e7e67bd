"""A server in a thread of its own, for tests and for programs that need one beside them."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

from devstack.oss.client import FaultClient
from devstack.oss.config import Clock, Credentials, ServerConfig
from devstack.oss.server import serve

_START_SECONDS = 30.0


class OssServer:
    """The stand-in as a context: it listens inside, and is gone outside. It may be entered again, with its objects.

    Args:
        data_dir: the folder that keeps the objects; made if it is missing.
        buckets: names of the buckets that exist.
        credentials: whose signatures are accepted.
        region: V4 signatures must be for this one.
        host: address to listen on.
        port: 0 chooses a free one, anew at each start.
        clock: what time it is, in seconds since 1970. It is called in the server's thread.
        domains: domains beside those of OSS and `localhost` under which `bucket.domain` addresses a bucket.

    Raises:
        ValueError: a bucket has no valid name.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        buckets: Sequence[str],
        credentials: Credentials,
        region: str = "cn-hangzhou",
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock = time.time,
        domains: Sequence[str] = (),
    ) -> None:
        self.config = ServerConfig(data_dir, tuple(buckets), credentials, region, host, port, clock, tuple(domains))
        self._endpoint: Future[str] = Future()
        self._thread: Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    @property
    def endpoint(self) -> str:
        """What a client connects to, such as `http://127.0.0.1:9000`.

        Raises:
            RuntimeError: the server is not running.
        """
        if self._thread is None:
            raise RuntimeError("the stand-in for OSS is not running")
        return self._endpoint.result()

    @property
    def faults(self) -> FaultClient:
        """A client for the control API: faults and counts of requests."""
        return FaultClient(self.endpoint)

    def start(self) -> Self:
        """Listen.

        Raises:
            StorageError: the folder cannot be used.
            OSError: the address cannot be listened on.
        """
        if self._thread is not None:
            raise RuntimeError("the stand-in for OSS is running already")
        self._endpoint = Future()
        self._thread = Thread(target=self._run, name="oss-server", daemon=True)
        self._thread.start()
        try:
            self._endpoint.result(_START_SECONDS)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Break off what is under way, and wait until the folder and the port are free."""
        if self._thread is None:
            return
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._endpoint.done():
                raise
            self._endpoint.set_exception(error)  # whoever started the thread is told

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await serve(self.config, stop=self._stop, listening=self._endpoint.set_result)
