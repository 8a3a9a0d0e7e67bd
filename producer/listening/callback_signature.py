"""The signature of OSS's callbacks: RSA with MD5, by a key at one of Aliyun's own addresses.

Aliyun's page "Callback" (OSS), step "Sign the callback request": what is signed is the decoded path, the query as it
was sent, a line feed and the body.
"""

import asyncio
import base64
import binascii
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

import httpx2
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import MD5
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from contract import ServiceUnavailable
from producer.listening.authentication import Unauthorized

KEY_URL_HEADER: Final = "x-oss-pub-key-url"
# Where else a key came from, whoever sent the callback could have made it.
KEY_URL: Final = re.compile(r"https?://gosspublic\.alicdn\.com/([A-Za-z0-9_.-]{1,100}\.pem)", re.ASCII)
_HOST: Final = "https://gosspublic.alicdn.com/"
_MAX_KEY_BYTES: Final = 16 * 1024
_FETCH_SECONDS: Final = 2.0
_KEPT_SECONDS: Final = 24 * 3600.0
_MAX_KEYS: Final = 8

Fetch = Callable[[str], Awaitable[bytes]]


class PublicKeys:
    """The keys of callbacks, by the address that a callback names, fetched once a day."""

    def __init__(self, pinned: Path | None, fetch: Fetch, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Know keys.

        Args:
            pinned: a file with the one key (PEM), whatever address is named; None: keys are fetched.
            fetch: reads what is at an address; it raises `ServiceUnavailable`.
            clock: monotonic seconds.

        Raises:
            ValueError: the file holds no RSA key.
        """
        self._pinned = None if pinned is None else _load(pinned.read_bytes())
        self._fetch = fetch
        self._clock = clock
        self._known: dict[str, tuple[float, RSAPublicKey | None]] = {}
        self._lock = asyncio.Lock()

    async def at(self, url: str) -> RSAPublicKey:
        """Find the key at an address.

        Raises:
            Unauthorized: the address is not Aliyun's, or there is no key.
            ServiceUnavailable: it cannot be fetched.
        """
        found = KEY_URL.fullmatch(url)
        if found is None:
            raise Unauthorized("the public key is not at Aliyun's address")
        if self._pinned is not None:
            return self._pinned
        name = found[1]
        if (key := self._fresh(name)) is not None:
            return key
        # One at a time; whoever has a key that is known does not wait here.
        async with self._lock:
            if (key := self._fresh(name)) is not None:
                return key
            try:
                # What is named by http is fetched by https all the same.
                key = _load(await self._fetch(_HOST + name))
            except ValueError as error:
                raise Unauthorized(f"no public key at Aliyun's address: {error}") from None
            if len(self._known) >= _MAX_KEYS:
                self._known.clear()
            self._known[name] = (self._clock(), key)
            return key

    def _fresh(self, name: str) -> RSAPublicKey | None:
        since, key = self._known.get(name, (0.0, None))
        return key if self._clock() - since <= _KEPT_SECONDS else None


async def fetch(url: str) -> bytes:
    """Read a small file over HTTP, without following it elsewhere.

    Raises:
        ServiceUnavailable: there is none, or not in time.
    """
    try:
        async with (
            asyncio.timeout(_FETCH_SECONDS),
            httpx2.AsyncClient(follow_redirects=False) as client,
            client.stream("GET", url) as response,
        ):
            response.raise_for_status()
            body = b""
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _MAX_KEY_BYTES:
                    raise ServiceUnavailable("the public key is too large to be one")
            return body
    except (httpx2.HTTPError, TimeoutError) as error:
        raise ServiceUnavailable(f"fetching the public key: {type(error).__name__}: {error}") from error


async def check(keys: PublicKeys, headers: Mapping[str, str], target: bytes, body: bytes) -> None:
    """Let a callback pass that OSS signed.

    Args:
        keys: the public keys.
        headers: of the request, names in lower case.
        target: the path, and the query behind a `?`, as they were sent.
        body: as it was sent.

    Raises:
        Unauthorized: it is not signed, or not by OSS, or not this request.
        ServiceUnavailable: the key cannot be fetched.
    """
    signature = _decode(headers.get("authorization"), "authorization")
    url = _decode(headers.get(KEY_URL_HEADER), KEY_URL_HEADER)
    key = await keys.at(url.decode("latin-1"))
    try:
        key.verify(signature, signed(target, body), PKCS1v15(), MD5())  # noqa: S303 - the signature that OSS makes
    except InvalidSignature:
        raise Unauthorized("a wrong signature") from None


def signed(target: bytes, body: bytes) -> bytes:
    """What OSS signs of a request."""
    path, mark, query = target.partition(b"?")
    return unquote_to_bytes(path) + mark + query + b"\n" + body


def _decode(text: str | None, header: str) -> bytes:
    if not text:
        raise Unauthorized(f"no {header}")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Unauthorized(f"{header} is not base64") from None


def _load(pem: bytes) -> RSAPublicKey:
    try:
        key = load_pem_public_key(pem)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from None
    if not isinstance(key, RSAPublicKey):
        raise ValueError("it is no RSA key")  # noqa: TRY004 - as for whatever else is no key
    return key
