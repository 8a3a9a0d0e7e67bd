"""HTTP as oss2 wants it, against a server of the standard library."""

from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final

import pytest
import urllib3
from oss2.http import Request

from worker.adapters.transport import Session

BODY: Final = b"what was asked for"


class Handler(BaseHTTPRequestHandler):
    """Redirects /there to /here, and answers anything else with what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(302 if self.path == "/there" else 200)
        self.send_header("Content-Length", str(len(BODY)))
        self.send_header("X-Path", self.path)
        self.send_header("X-Agent", self.headers["User-Agent"])
        self.send_header("X-Encodings", self.headers.get("Accept-Encoding", "none"))
        self.send_header("Location", "/here")
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    """The server's address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def session() -> Iterator[Session]:
    """A session."""
    with closing(Session(2)) as session:
        yield session


def test_an_answer_is_as_oss2_reads_it(session: Session, endpoint: str) -> None:
    """Headers by names in any case, the body at once, and what stands in the URL as it was quoted."""
    answer = session.do_request(Request("GET", f"{endpoint}/a%2Fb", params={"x-oss-process": "a b/c"}), 5)
    assert (answer.status, answer.headers["x-PATH"]) == (200, "/a%2Fb?x-oss-process=a+b%2Fc")
    assert answer.headers["x-agent"].startswith("aliyun-sdk-python/")
    assert answer.read() == BODY


def test_no_encoding_is_asked_for(session: Session, endpoint: str) -> None:
    """Of an encoded body neither length nor checksum would be the object's."""
    answer = session.do_request(Request("GET", f"{endpoint}/a"), 5)
    assert answer.headers["X-Encodings"] in {"none", "identity"}
    assert answer.read() == BODY


def test_a_redirection_is_followed(session: Session, endpoint: str) -> None:
    """A bucket may send those who ask for what it has not to where it comes from."""
    answer = session.do_request(Request("GET", f"{endpoint}/there"), 5)
    assert (answer.status, answer.headers["X-Path"], answer.read()) == (200, "/here", BODY)


def test_proxies_of_the_environment_are_not_asked(
    session: Session, endpoint: str, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    """An internal endpoint cannot be reached through them."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port}")
    assert session.do_request(Request("GET", f"{endpoint}/a"), 5).read() == BODY


def test_nothing_is_asked_twice(session: Session, free_port: int) -> None:
    """Whether to try again is for the message to decide."""
    with pytest.raises(urllib3.exceptions.MaxRetryError) as raised:
        session.do_request(Request("GET", f"http://127.0.0.1:{free_port}/a"), 5)
    assert isinstance(raised.value.reason, urllib3.exceptions.NewConnectionError)
