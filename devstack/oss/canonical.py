"""The strings that OSS signatures cover, versions 1 and 4.

Written from the documentation, and checked against published vectors and against two independent signers (oss2 and
alibabacloud-oss-v2):

- V1: https://www.alibabacloud.com/help/en/oss/developer-reference/include-signatures-in-the-authorization-header
- V4: https://www.alibabacloud.com/help/en/oss/developer-reference/recommend-to-use-signature-version-4
"""

import hmac
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import quote

from devstack.oss.subresources import SUBRESOURCES

V4_ALGORITHM = "OSS4-HMAC-SHA256"
V4_TERMINATOR = "aliyun_v4_request"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"


@dataclass(frozen=True, slots=True)
class Signable:
    """The parts of a request that a signature can cover.

    Attributes:
        method: upper case.
        bucket: empty for the service itself.
        key: decoded; empty for the bucket itself.
        query: decoded parameters; those without a value have an empty one.
        headers: by lower-case name; values as they came, undecodable bytes as surrogates.
    """

    method: str
    bucket: str
    key: str
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]

    @property
    def resource(self) -> str:
        """The path that is signed, whichever way the bucket was addressed."""
        return f"/{self.bucket}/{self.key}" if self.bucket else "/"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a V4 signing key is good for: a day (YYYYMMDD, UTC), a region, a product."""

    date: str
    region: str
    product: str = "oss"

    def __str__(self) -> str:
        return f"{self.date}/{self.region}/{self.product}/{V4_TERMINATOR}"


def v1_string_to_sign(request: Signable, date: str) -> bytes:
    """Method, Content-MD5, Content-Type, date (or the expiry of a URL), x-oss- headers, resource."""
    headers = request.headers
    lines = [request.method, headers.get("content-md5", ""), headers.get("content-type", ""), date]
    lines += [f"{name}:{value}" for name, value in sorted(headers.items()) if name.startswith("x-oss-")]
    signed = sorted(pair for pair in request.query if pair[0] in SUBRESOURCES)
    query = "&".join(f"{name}={value}" if value else name for name, value in signed)
    lines.append(request.resource + ("?" + query if query else ""))
    return to_bytes("\n".join(lines))


def v1_signature(secret: str, string_to_sign: bytes) -> str:
    """HMAC-SHA1 in base64."""
    return b64encode(hmac.digest(secret.encode(), string_to_sign, "sha1")).decode()


def v4_canonical_request(request: Signable, additional: Sequence[str]) -> bytes:
    """Method, path, query, headers, names of the additional headers, digest of the payload.

    Args:
        request: the request; `x-oss-signature` must not be among its parameters.
        additional: lower-case names of further signed headers.
    """
    pairs = sorted((quote(name, safe=""), quote(value, safe="")) for name, value in request.query)
    query = "&".join(f"{name}={value}" if value else name for name, value in pairs)
    headers = "".join(
        f"{name}:{value.strip()}\n" for name, value in sorted(request.headers.items()) if _v4_signs(name, additional)
    )
    payload = request.headers.get("x-oss-content-sha256", UNSIGNED_PAYLOAD)
    names = ";".join(sorted(additional))
    return to_bytes("\n".join([request.method, quote(request.resource, safe="/"), query, headers, names, payload]))


def v4_string_to_sign(timestamp: str, scope: Scope, canonical_request: bytes) -> bytes:
    """Algorithm, time (YYYYMMDDTHHMMSSZ), scope, digest of the canonical request."""
    return "\n".join([V4_ALGORITHM, timestamp, str(scope), sha256(canonical_request).hexdigest()]).encode()


def v4_signature(secret: str, scope: Scope, string_to_sign: bytes) -> str:
    """HMAC-SHA256 in hex, with a key that is derived from the scope step by step."""
    key = b"aliyun_v4" + secret.encode()
    for part in (scope.date, scope.region, scope.product, V4_TERMINATOR):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, string_to_sign, "sha256").hex()


def _v4_signs(name: str, additional: Sequence[str]) -> bool:
    return name.startswith("x-oss-") or name in {"content-type", "content-md5"} or name in additional


def to_bytes(text: str) -> bytes:
    """UTF-8; what the server could not decode becomes the bytes that came."""
    return text.encode("utf-8", "surrogateescape")
