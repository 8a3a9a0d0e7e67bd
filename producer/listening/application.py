"""The endpoint: what it takes, whom it believes, and what it answers.

It answers 2xx only when all events of a delivery are accepted, which means that they are in the ledger. Any other
answer has the sender deliver again, and a repeat does no harm.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from contract import InvalidMessage, ObjectEvent, Overloaded, ServiceUnavailable
from producer import tracing
from producer.listening import callback_signature
from producer.listening.authentication import Secrets, Unauthorized
from producer.listening.callback_signature import PublicKeys
from producer.listening.counting import Counting
from producer.listening.openapi import document
from producer.oss_events import Delivery, Form, parse

log = structlog.get_logger(__name__)

EVENTS: Final = "/events"
CALLBACK: Final = "/callback"
HEALTH: Final = "/healthz"
METRICS: Final = "/metrics"
OPENAPI: Final = "/openapi.json"
_HEALTH_SECONDS: Final = 2.0
_RETRY: Final = {"Retry-After": "10"}

Handler = Callable[[Request], Awaitable[Response]]


class Acceptor(Protocol):
    """Accepts events: `producer.Client`."""

    def submit(self, event: ObjectEvent) -> Future[str]:
        """Begin to accept an event. When the future has a result, the event is never lost."""

    def outstanding(self) -> int:
        """Ask the ledger something small."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a listener holds requests to.

    Attributes:
        max_bytes: of a body.
        seconds: within which a request is answered.
        signature_alone: whether a callback that OSS signed needs no secret.
    """

    max_bytes: int
    seconds: float
    signature_alone: bool = False


class Listener:
    """Answers requests.

    Args:
        acceptor: of events.
        secrets: of the senders.
        keys: that callbacks are signed with.
        rules: for requests.
    """

    def __init__(self, acceptor: Acceptor, secrets: Secrets, keys: PublicKeys, rules: Rules) -> None:
        self._acceptor = acceptor
        self._secrets = secrets
        self._keys = keys
        self._rules = rules
        self._counting = Counting()
        self.registry = self._counting.registry

    def application(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route(EVENTS, self._answered(EVENTS, self._events), methods=["POST"]),
                Route(CALLBACK, self._answered(CALLBACK, self._callback), methods=["POST"]),
                Route(HEALTH, self._answered(HEALTH, self._health), methods=["GET"]),
                Route(METRICS, self._answered(METRICS, self._metrics), methods=["GET"]),
                Route(OPENAPI, self._answered(OPENAPI, self._openapi), methods=["GET"]),
            ],
            exception_handlers={HTTPException: _http_error},
        )

    async def _events(self, request: Request) -> Response:
        """Notifications: EventBridge's, SMQ's, and what a function of Function Compute passes on."""
        # Who is not known has no megabyte read.
        signed = self._secrets.is_signed(request.headers)
        if not signed:
            self._secrets.check_shown(request.headers, request.query_params)
        body = await self._body(request)
        if signed:
            self._secrets.check_signature(request.headers, body, time.time())
        return await self._take(parse(body))

    async def _callback(self, request: Request) -> Response:
        """What OSS sends while an uploader waits, in a body of the uploader's own."""
        if not self._rules.signature_alone:
            self._secrets.check_token(request.query_params)
        body = await self._body(request)
        await callback_signature.check(self._keys, request.headers, _target(request), body)
        delivery = parse(body)
        if delivery.form is not Form.CALLBACK:
            raise InvalidMessage("no callback: its body names no object")
        return await self._take(delivery)

    async def _health(self, _: Request) -> Response:
        """Whether events can be accepted."""
        async with asyncio.timeout(_HEALTH_SECONDS):
            await asyncio.to_thread(self._acceptor.outstanding)
        return JSONResponse({"status": "ok"})

    async def _metrics(self, request: Request) -> Response:
        self._secrets.check(request.headers, request.query_params, b"", time.time())
        return Response(self._counting.exposition(), media_type="text/plain; version=0.0.4")

    async def _openapi(self, _: Request) -> Response:
        return JSONResponse(document())

    async def _take(self, delivery: Delivery) -> Response:
        with tracing.span("deliver", "SERVER", {"events": len(delivery.events)}):
            await self._accept(delivery.events)
        self._counting.delivered(delivery)
        told = {
            "form": delivery.form.value,
            "accepted": len(delivery.events),
            "ignored": len(delivery.ignored),
            "malformed": len(delivery.malformed),
        }
        log.info("delivered", **told, error=delivery.malformed[0] if delivery.malformed else None)
        if delivery.malformed:
            # What could be read is accepted; the sender keeps the rest.
            return JSONResponse({**told, "error": delivery.malformed[0]}, 400)
        return JSONResponse(told)

    async def _accept(self, events: Sequence[ObjectEvent]) -> None:
        # In a thread, because it waits where too many are on their way.
        futures = await asyncio.to_thread(lambda: [self._acceptor.submit(event) for event in events])
        await asyncio.gather(*map(asyncio.wrap_future, futures))

    async def _body(self, request: Request) -> bytes:
        most = self._rules.max_bytes
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise HTTPException(413, f"a body has at most {most:,} bytes")
        return bytes(body)

    def _answered(self, path: str, handle: Handler) -> Handler:
        """Answer within the time limit, whatever happens, and count it. No answer tells what only the log should."""

        async def answer(request: Request) -> Response:
            begun = time.monotonic()
            with tracing.traced(_traceparent(request)):
                response = await self._respond(path, handle, request)
            self._counting.answered(path, response.status_code, time.monotonic() - begun)
            return response

        return answer

    async def _respond(self, path: str, handle: Handler, request: Request) -> Response:
        try:
            async with asyncio.timeout(self._rules.seconds):
                response = await handle(request)
        except Unauthorized as error:
            log.warning("unauthorized", path=path, sender=_sender(request), reason=str(error))
            response = _error(401, "who sent this has not shown that it may", {"WWW-Authenticate": "Bearer"})
        except InvalidMessage as error:
            log.warning("not_understood", path=path, sender=_sender(request), reason=str(error))
            response = _error(400, str(error))
        except (Overloaded, ServiceUnavailable) as error:
            log.error("not_accepted", path=path, reason=str(error))  # noqa: TRY400 - the reason says it
            response = _error(503, "the events cannot be accepted now: send them again", _RETRY)
        except TimeoutError:
            log.error("too_slow", path=path, sender=_sender(request))  # noqa: TRY400 - there is no more to say
            response = _error(503, "the request took too long: send it again", _RETRY)
        except HTTPException as error:
            response = _error(error.status_code, error.detail)
        except ClientDisconnect:
            response = Response(status_code=400)  # nobody reads it
        except Exception:
            log.exception("request_failed", path=path)
            response = _error(500, "an error of the listener's own: its log says which")
        return response


def _error(status: int, error: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": error}, status, headers)


async def _http_error(_: Request, error: Exception) -> Response:
    """What Starlette answers itself: there is no such path, or not by this method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for nothing else
    return _error(error.status_code, error.detail, dict(error.headers or {}))


def _target(request: Request) -> bytes:
    raw: bytes = request.scope["raw_path"].partition(b"?")[0]
    query: bytes = request.scope["query_string"]
    return raw + b"?" + query if query else raw


def _traceparent(request: Request) -> str | None:
    """The sender's, of W3C Trace Context, by which more than one is none."""
    given = request.headers.getlist(tracing.HEADER)
    return given[0] if len(given) == 1 else None


def _sender(request: Request) -> str | None:
    return request.client.host if request.client is not None else None
