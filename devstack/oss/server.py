"""The server: from a request on the wire to an answer, and the loop around it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from secrets import token_hex

from aiohttp import web

from devstack.oss.addressing import parse_target
from devstack.oss.calls import Call, Context
from devstack.oss.canonical import Signable
from devstack.oss.config import ServerConfig
from devstack.oss.control import Control
from devstack.oss.errors import OssError, internal_error
from devstack.oss.faults import Fault, FaultBook
from devstack.oss.operations import perform
from devstack.oss.requestlog import RequestLog
from devstack.oss.responses import Answer, error_answer
from devstack.oss.sending import break_off, send
from devstack.oss.signatures import Verifier
from devstack.oss.storage import Storage
from devstack.oss.times import http_date

logger = logging.getLogger(__name__)

# A stop waits so long for requests to end by themselves, and once more for those that it then cancels.
_SHUTDOWN_SECONDS = 0.2


class Handler:
    """Answers requests."""

    def __init__(self, config: ServerConfig, storage: Storage) -> None:
        self._clock = config.clock
        self._domains = config.all_domains
        self._context = Context(storage, config.region, config.clock)
        self._verifier = Verifier(config.credentials, config.region, config.clock)
        self._faults = FaultBook()
        self._requests = RequestLog()
        self._control = Control(self._faults, self._requests)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; nothing that a client does makes this raise."""
        request_id = token_hex(12).upper()
        fault: Fault | None = None
        try:
            try:
                answer, fault = await self._answer(request)
            except OssError as error:
                answer = _error_answer(error, request, request_id)
            except (ConnectionError, web.RequestPayloadError):
                raise
            except Exception:
                logger.exception("the stand-in for OSS failed on a %s", request.method)
                answer = _error_answer(internal_error(), request, request_id)
            with answer:
                return await send(request, self._finished(answer, request_id), fault)
        except (ConnectionError, web.RequestPayloadError):
            return web.StreamResponse()  # the client has gone, or a fault has seen it off: nobody will read this

    async def _answer(self, request: web.BaseRequest) -> tuple[Answer, Fault | None]:
        """The answer, and what is to befall it."""
        host = request.headers.get("Host", "")
        method, target = request.method, parse_target(request.raw_path, host, self._domains)
        body = _body(request)
        if Control.is_for(target):
            return await self._control.answer(method, target, body, request.remote), None
        self._requests.add(method, target.bucket, target.key)
        headers = _headers(request)
        self._verifier.verify(Signable(method, target.bucket, target.key, target.query, headers))
        instead = self._faults.before(method, target.key)
        if instead is not None:
            await break_off(request, instead)
        answer = await perform(self._context, Call(method, target, headers, body))
        if answer.body_length and answer.status in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
            return answer, self._faults.during(method, target.key)
        return answer, None

    def _finished(self, answer: Answer, request_id: str) -> Answer:
        common = {"Server": "AliyunOSS", "Date": http_date(self._clock()), "x-oss-request-id": request_id}
        return answer.with_headers(common)


async def serve(config: ServerConfig, *, stop: asyncio.Event, listening: Callable[[str], None]) -> None:
    """Serve until `stop` is set.

    Args:
        config: what to serve.
        stop: the end, which comes within half a second even if clients are in the middle of something.
        listening: called with the endpoint, such as `http://127.0.0.1:9000`, once it can be connected to.

    Raises:
        StorageError: the folder cannot be used.
        OSError: the address cannot be listened on.
    """
    storage = Storage(config.data_dir, config.buckets, config.clock())
    try:
        # No access log: presigned URLs in it would be secrets. No decompression: an object is the bytes that came.
        server = web.Server(
            Handler(config, storage).handle, handler_cancellation=True, access_log=None, auto_decompress=False
        )
        runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            site = web.TCPSite(runner, config.host, config.port)
            await site.start()
            host, port, *_ = runner.addresses[0]
            listening(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
            await stop.wait()
        finally:
            await runner.cleanup()
    finally:
        storage.close()


def _headers(request: web.BaseRequest) -> dict[str, str]:
    """The headers by lower-case name; the values of a repeated one, joined."""
    return {name.lower(): ",".join(request.headers.getall(name)) for name in request.headers}


async def _body(request: web.BaseRequest) -> AsyncIterator[bytes]:
    """The body; a client that waits to be asked for it, as curl does with a large one, is asked."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    async for chunk in request.content.iter_any():
        yield chunk


def _error_answer(error: OssError, request: web.BaseRequest, request_id: str) -> Answer:
    host = request.headers.get("Host", "")
    return error_answer(error, request_id=request_id, host=host, head=request.method == "HEAD")
