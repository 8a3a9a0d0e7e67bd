"""The endpoint answers 2xx when the events are accepted, and only then; and no answer tells what it should not."""

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import Future
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.applications import Starlette
from structlog.testing import capture_logs

from contract import ObjectEvent, Overloaded, ServiceUnavailable
from producer import tracing
from producer.listening import callback_signature
from producer.listening.application import Listener, Rules
from producer.listening.authentication import Secrets, Unauthorized
from producer.listening.callback_signature import PublicKeys
from producer.listening.openapi import document
from producer.tracing import Trace

SECRET = "a-secret-of-the-tests"  # noqa: S105 - not a real one
BEARER = {"Authorization": f"Bearer {SECRET}"}
BODY = json.dumps({"events": [{"eventName": "ObjectCreated:PutObject", "oss": {"object": {"key": "a.png"}}}]}).encode()
TRACE = Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
CALLBACK = b"object=a.png&meta_id=1"


class Ledger:
    """Accepts events, or not."""

    def __init__(self) -> None:
        self.events: list[ObjectEvent] = []
        self.traces: list[Trace | None] = []
        self.error: Exception | None = None
        self.hangs = False

    def submit(self, event: ObjectEvent) -> Future[str]:
        """Accept an event."""
        future: Future[str] = Future()
        if self.hangs:
            return future
        if self.error is not None:
            future.set_exception(self.error)
        else:
            self.events.append(event)
            self.traces.append(tracing.current())
            future.set_result("batch")
        return future

    def outstanding(self) -> int:
        """Say something."""
        if self.error is not None:
            raise self.error
        return 0


@pytest.fixture
def ledger() -> Ledger:
    """An empty one."""
    return Ledger()


async def nowhere(_: str) -> bytes:
    """Fetch nothing."""
    raise ServiceUnavailable("there is no network")


def application(ledger: Ledger, **rules: Any) -> Starlette:
    """The endpoint."""
    made = Rules(**{"max_bytes": 2000, "seconds": 2.0, **rules})
    return Listener(ledger, Secrets([SECRET]), PublicKeys(None, nowhere), made).application()


def ask(app: Starlette, method: str, path: str, **request: Any) -> httpx2.Response:
    """Send one request."""

    async def send() -> httpx2.Response:
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://listener") as client:
            return await client.request(method, path, **request)

    return asyncio.run(send())


@pytest.fixture
def signed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every callback is OSS's; signatures have tests of their own."""

    async def passes(*_: object) -> None:
        pass

    monkeypatch.setattr(callback_signature, "check", passes)


def test_a_delivery_is_accepted(ledger: Ledger) -> None:
    """And said to be so, in JSON."""
    answer = ask(application(ledger), "POST", "/events", content=BODY, headers=BEARER)
    assert (answer.status_code, answer.json()) == (
        200,
        {"form": "events", "accepted": 1, "ignored": 0, "malformed": 0},
    )
    assert ledger.events == [ObjectEvent(object_key="a.png", source="oss")]


@pytest.mark.parametrize(
    ("headers", "is_taken"),
    [
        ([("traceparent", TRACE.header)], True),
        ([("traceparent", TRACE.header), ("traceparent", TRACE.header)], False),
        ([("traceparent", "00-nonsense")], False),
        ([], False),
    ],
)
def test_a_delivery_is_in_its_senders_trace(ledger: Ledger, headers: list[tuple[str, str]], *, is_taken: bool) -> None:
    """If it has just one that is valid; else in one of its own."""
    ask(application(ledger), "POST", "/events", content=BODY, headers=[*BEARER.items(), *headers])
    (trace,) = ledger.traces
    assert trace is not None
    assert (trace.trace_id == TRACE.trace_id) is is_taken


@pytest.mark.parametrize("error", [Overloaded("too many"), ServiceUnavailable("no redis at redis://:secret@host")])
def test_what_is_not_accepted_is_not_acknowledged(ledger: Ledger, error: Exception) -> None:
    """The sender is asked to send it again; the reason is for the log."""
    ledger.error = error
    with capture_logs() as logs:
        answer = ask(application(ledger), "POST", "/events", content=BODY, headers=BEARER)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert str(error) not in answer.text
    assert [line["event"] for line in logs] == ["not_accepted"]


def test_what_takes_too_long_is_not_acknowledged(ledger: Ledger) -> None:
    """OSS waits five seconds, and no longer."""
    ledger.hangs = True
    answer = ask(application(ledger, seconds=0.05), "POST", "/events", content=BODY, headers=BEARER)
    assert answer.status_code == 503


def test_a_body_that_drips_is_not_waited_for(ledger: Ledger) -> None:
    """The limit is for the whole request."""

    async def drips() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.01)

    answer = ask(application(ledger, seconds=0.1), "POST", "/events", content=drips(), headers=BEARER)
    assert answer.status_code == 503


def test_a_body_that_is_too_large_is_refused(ledger: Ledger) -> None:
    """Before it is looked at; of who is not known, not a byte of it is read."""
    app = application(ledger)
    assert ask(app, "POST", "/events", content=bytes(2001), headers=BEARER).status_code == 413
    assert ask(app, "POST", f"/callback?token={SECRET}", content=bytes(2001)).status_code == 413
    signature = {"X-Lookalike-Signature": "t=1,v1=" + 64 * "0"}
    assert ask(app, "POST", "/events", content=bytes(2001), headers=signature).status_code == 413
    read: list[int] = []

    async def body() -> AsyncIterator[bytes]:
        read.append(1)
        yield b""

    for path in ("/events", "/callback"):
        assert ask(app, "POST", path, content=body()).status_code == 401
    assert read == []


@pytest.mark.parametrize("path", ["/events", "/events?token=wrong", "/metrics"])
def test_who_is_not_known_is_told_nothing(ledger: Ledger, path: str) -> None:
    """But that: 401, and a line in the log without the secret."""
    with capture_logs() as logs:
        answer = ask(application(ledger), "GET" if path == "/metrics" else "POST", path, content=BODY)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert (logs[0]["event"], logs[0]["path"]) == ("unauthorized", path.partition("?")[0])
    assert not ledger.events


def test_what_is_no_delivery_is_refused(ledger: Ledger) -> None:
    """With what is wrong."""
    answer = ask(application(ledger), "POST", "/events", content=b"{}", headers=BEARER)
    assert answer.status_code == 400
    assert "no events" in answer.json()["error"]


def test_what_can_be_read_is_accepted_beside_what_cannot(ledger: Ledger) -> None:
    """The sender keeps the delivery all the same."""
    events = [*json.loads(BODY)["events"], {"eventName": "ObjectCreated:PutObject"}, {"eventName": "x"}]
    answer = ask(application(ledger), "POST", "/events", json={"events": events}, headers=BEARER)
    assert answer.status_code == 400
    assert {name: answer.json()[name] for name in ("accepted", "ignored", "malformed")} == {
        "accepted": 1,
        "ignored": 1,
        "malformed": 1,
    }
    assert len(ledger.events) == 1


def test_a_callback_needs_signature_and_secret(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """OSS signs the callbacks of everybody's buckets."""
    checked: list[tuple[bytes, bytes]] = []

    async def check(_: object, __: object, target: bytes, body: bytes) -> None:
        checked.append((target, body))
        if body != CALLBACK:
            raise Unauthorized("a wrong signature")

    monkeypatch.setattr(callback_signature, "check", check)
    app = application(ledger)
    assert ask(app, "POST", "/callback", content=CALLBACK, headers=BEARER).status_code == 401
    assert ask(app, "POST", "/callback?token=wrong", content=CALLBACK).status_code == 401
    assert checked == []
    assert ask(app, "POST", f"/callback?token={SECRET}", content=b"object=b.png").status_code == 401
    assert not ledger.events
    answer = ask(app, "POST", f"/callback?token={SECRET}&a=%20b", content=CALLBACK)
    assert (answer.status_code, answer.json()["form"]) == (200, "callback")
    assert checked[-1] == (f"/callback?token={SECRET}&a=%20b".encode(), CALLBACK)
    assert ledger.events == [ObjectEvent(object_key="a.png", source="oss", variables={"meta_id": "1"})]


def test_a_signature_alone_may_be_enough(ledger: Ledger, signed: None) -> None:
    """Where that is wanted."""
    assert signed is None
    app = application(ledger, signature_alone=True)
    assert ask(app, "POST", "/callback", content=CALLBACK).status_code == 200


def test_a_callback_is_no_event(ledger: Ledger, signed: None) -> None:
    """What OSS signed says nothing of other buckets' events."""
    assert signed is None
    assert ask(application(ledger), "POST", f"/callback?token={SECRET}", content=BODY).status_code == 400
    assert not ledger.events


def test_health(ledger: Ledger) -> None:
    """Whether the ledger answers; asked without a secret."""
    app = application(ledger)
    assert (ask(app, "GET", "/healthz").status_code, ask(app, "GET", "/healthz").json()) == (200, {"status": "ok"})
    ledger.error = ServiceUnavailable("no redis")
    assert ask(app, "GET", "/healthz").status_code == 503


def test_metrics(ledger: Ledger) -> None:
    """Requests and events are counted, by nothing that a sender chose."""
    app = application(ledger)
    ask(app, "POST", "/events", content=BODY, headers=BEARER)
    ask(app, "POST", "/events", json={"events": [{"eventName": "x"}]}, headers=BEARER)
    ask(app, "POST", "/events", content=BODY)
    text = ask(app, "GET", "/metrics", headers=BEARER).text
    assert 'lookalike_listener_events_total{form="events",outcome="accepted"} 1.0' in text
    assert 'lookalike_listener_events_total{form="events",outcome="ignored"} 1.0' in text
    assert 'lookalike_listener_requests_total{path="/events",status="401"} 1.0' in text
    assert "a.png" not in text


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/events", 405), ("POST", "/", 404), ("GET", "/%00", 404)]
)
def test_what_is_not_there(ledger: Ledger, method: str, path: str, status: int) -> None:
    """It is said in JSON too."""
    answer = ask(application(ledger), method, path)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_an_error_of_our_own_is_for_the_log(ledger: Ledger) -> None:
    """With its traceback there, and none of it in the answer."""
    ledger.error = ZeroDivisionError("division by zero")
    with capture_logs() as logs:
        answer = ask(application(ledger), "POST", "/events", content=BODY, headers=BEARER)
    assert answer.status_code == 500
    assert "ero" not in answer.text.replace("error", "")
    assert logs[0]["event"] == "request_failed"


APPLICATION = application(Ledger(), max_bytes=10**6)
# Not those of authentication, which here is passed: it has tests of its own.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
schema = schemathesis.openapi.from_asgi("/openapi.json", APPLICATION)


def tells_too_much(text: str) -> bool:
    """Whether an answer holds what is nobody's business."""
    return any(sign in text for sign in ("Traceback", 'File "', "site-packages", SECRET, " object at 0x"))


@schema.parametrize()
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_breaks_it(case: Any, signed: None) -> None:
    """Of what schemathesis makes of the description, wrong as well as right: no 5xx, and answers as described."""
    assert signed is None
    answer = case.call(headers=BEARER, params={"token": SECRET})
    case.validate_response(answer, checks=CHECKS)
    assert answer.status_code < 500
    assert not tells_too_much(answer.text)


@given(
    st.binary(max_size=2000),
    st.sampled_from(["/events", "/callback", "/healthz", "/metrics", "/"]),
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"]),
    st.dictionaries(
        st.sampled_from(["authorization", "x-lookalike-signature", "x-oss-pub-key-url", "content-type", "x"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60).map(str.strip),
        max_size=3,
    ),
)
@settings(max_examples=300, deadline=None)
def test_no_bytes_break_it(body: bytes, path: str, method: str, headers: dict[str, str]) -> None:
    """Known or not, signed or not."""
    for known in ({}, BEARER):
        answer = ask(application(Ledger()), method, path, content=body, headers={**headers, **known})
        assert answer.status_code < 500
        assert not tells_too_much(answer.text)


def test_the_document_says_what_is_served(ledger: Ledger) -> None:
    """Every path of it is there, and none is missing but those for machines."""
    app = application(ledger)
    assert {route.path for route in app.routes if hasattr(route, "path")} - {"/metrics", "/openapi.json"} == set(
        document()["paths"]
    )
    assert ask(app, "GET", "/openapi.json").json() == document()
