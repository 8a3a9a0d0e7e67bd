"""A callback is OSS's when the key at Aliyun's own address verifies it."""

import asyncio
import base64
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import MD5
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from contract import ServiceUnavailable
from producer.listening import callback_signature
from producer.listening.authentication import Unauthorized
from producer.listening.callback_signature import PublicKeys, signed

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
URL = "https://gosspublic.alicdn.com/callback_pub_key_v1.pem"
TARGET = b"/call%20back?token=a%20b&x=1"
BODY = b"bucket=pictures&object=a.png"


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = KEY) -> bytes:
    """The public half."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class Fetched:
    """Fetches from nowhere, and counts."""

    def __init__(self, content: bytes | Exception) -> None:
        self.content = content
        self.urls: list[str] = []

    async def __call__(self, url: str) -> bytes:
        """Fetch."""
        self.urls.append(url)
        await asyncio.sleep(0)
        if isinstance(self.content, Exception):
            raise self.content
        return self.content


def headers(signature: bytes | None = None, url: str = URL) -> dict[str, str]:
    """As OSS sends them."""
    made = KEY.sign(b"/call back?token=a%20b&x=1\n" + BODY, PKCS1v15(), MD5()) if signature is None else signature  # noqa: S303
    return {
        "authorization": base64.b64encode(made).decode(),
        "x-oss-pub-key-url": base64.b64encode(url.encode()).decode(),
    }


def check(keys: PublicKeys, given: dict[str, str], target: bytes = TARGET, body: bytes = BODY) -> None:
    """Ask for a callback to pass."""
    asyncio.run(callback_signature.check(keys, given, target, body))


def test_what_is_signed() -> None:
    """Aliyun: the path, decoded; the query, as it is; a line feed; the body."""
    assert signed(b"/a%2Fb%20c", b"x") == b"/a/b c\nx"
    assert signed(b"/?a=%20", b"") == b"/?a=%20\n"
    assert signed(b"/%E5%9B%BE?", b"x") == "/图?\nx".encode()


def test_a_signed_callback_passes() -> None:
    """The key is fetched once, by https."""
    fetched = Fetched(pem())
    keys = PublicKeys(None, fetched)
    check(keys, headers())
    check(keys, headers(url=URL.replace("https", "http")))
    assert fetched.urls == [URL]


def test_the_key_is_fetched_again_the_next_day() -> None:
    """Aliyun may change it."""
    now = [0.0]
    fetched = Fetched(pem())
    keys = PublicKeys(None, fetched, clock=lambda: now[0])
    check(keys, headers())
    now[0] = 24 * 3600 + 1
    check(keys, headers())
    assert len(fetched.urls) == 2


def test_many_at_once_fetch_once() -> None:
    """They wait for the first."""

    async def many() -> None:
        await asyncio.gather(*(callback_signature.check(keys, headers(), TARGET, BODY) for _ in range(20)))

    fetched = Fetched(pem())
    keys = PublicKeys(None, fetched)
    asyncio.run(many())
    assert len(fetched.urls) == 1


@pytest.mark.parametrize(
    ("target", "body"), [(TARGET + b"1", BODY), (b"/other?token=a%20b&x=1", BODY), (TARGET, BODY + b"1")]
)
def test_another_request_does_not(target: bytes, body: bytes) -> None:
    """Whatever was changed."""
    with pytest.raises(Unauthorized, match="a wrong signature"):
        check(PublicKeys(None, Fetched(pem())), headers(), target, body)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://example.com/key.pem",
        "https://gosspublic.alicdn.com.example.com/key.pem",
        "https://gosspublic.alicdn.com@example.com/key.pem",
        "https://gosspublic.alicdn.com/../key.pem/",
        "https://gosspublic.alicdn.com/a?b.pem",
        "https://gosspublicXalicdn.com/key.pem",
        "ftp://gosspublic.alicdn.com/key.pem",
        "https://gosspublic.alicdn.com/key.pem\n",
        "\u00e9",
    ],
)
def test_a_key_from_elsewhere_is_not_fetched(url: str, tmp_path: Path) -> None:
    """Or any sender could sign for itself; nor does a pinned key help."""
    fetched = Fetched(pem())
    file = tmp_path / "key.pem"
    file.write_bytes(pem())
    for pinned in (None, file):
        with pytest.raises(Unauthorized):
            check(PublicKeys(pinned, fetched), headers(url=url))
    assert fetched.urls == []


@pytest.mark.parametrize("missing", ["authorization", "x-oss-pub-key-url"])
@pytest.mark.parametrize("instead", [None, "", "not base64!", "\u00e9"])
def test_a_callback_that_is_not_signed_does_not_pass(missing: str, instead: str | None) -> None:
    """By neither header alone."""
    given = {**headers(), missing: instead}
    with pytest.raises(Unauthorized, match=missing):
        check(PublicKeys(None, Fetched(pem())), {name: value for name, value in given.items() if value is not None})


def test_a_pinned_key_is_never_fetched(tmp_path: Path) -> None:
    """For a listener that has no way out."""
    fetched = Fetched(b"")
    file = tmp_path / "key.pem"
    file.write_bytes(pem())
    check(PublicKeys(file, fetched), headers())
    assert fetched.urls == []


@pytest.mark.parametrize("content", [b"", b"<html>", pem(ec.generate_private_key(ec.SECP256R1()))])
def test_what_is_no_key_verifies_nothing(content: bytes, tmp_path: Path) -> None:
    """Fetched or pinned."""
    with pytest.raises(Unauthorized, match="no public key at"):
        check(PublicKeys(None, Fetched(content)), headers())
    file = tmp_path / "key.pem"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"."):
        PublicKeys(file, Fetched(b""))


def test_a_key_that_cannot_be_fetched_is_no_refusal() -> None:
    """The sender is to try again."""
    with pytest.raises(ServiceUnavailable):
        check(PublicKeys(None, Fetched(ServiceUnavailable("down"))), headers())


@pytest.fixture
def host() -> Iterator[str]:
    """An HTTP server with a key, one that is too large, and one that is elsewhere."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response({"/key.pem": 200, "/large.pem": 200, "/moved.pem": 302}.get(self.path, 404))
            self.send_header("Location", "/key.pem")
            self.end_headers()
            self.wfile.write(pem() if self.path == "/key.pem" else bytes(100_000))

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_fetching(host: str) -> None:
    """What is there, and small, and not elsewhere."""
    assert asyncio.run(callback_signature.fetch(f"{host}/key.pem")) == pem()
    for path in ("/large.pem", "/moved.pem", "/none.pem"):
        with pytest.raises(ServiceUnavailable, match="public key"):
            asyncio.run(callback_signature.fetch(host + path))
    with pytest.raises(ServiceUnavailable, match="ConnectError"):
        asyncio.run(callback_signature.fetch("http://127.0.0.1:1/key.pem"))
