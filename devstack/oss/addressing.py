"""Which bucket, key and parameters a request names.

The request line is read raw, for three reasons. oss2 writes the `/` of a key as `%2F`. A `+` is a space in the query
but itself in the path. And `..` in a key is part of the key, which a URL library would resolve.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import unquote, unquote_plus

from devstack.oss.errors import OssError, invalid_argument

_SCHEMES = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about.

    Attributes:
        host: the host that the client addressed, with its port.
        bucket: empty for the service itself.
        key: the object's key, decoded; empty for the bucket itself.
        query: the decoded parameters in their order; those without a value have an empty one.
        virtual_hosted: the bucket is in the host name, not in the path.
    """

    host: str
    bucket: str
    key: str
    query: tuple[tuple[str, str], ...] = ()
    virtual_hosted: bool = False

    @property
    def params(self) -> dict[str, str]:
        """The parameters by name; of a repeated one, the last."""
        return dict(self.query)


def default_domains(region: str) -> tuple[str, ...]:
    """The domains under which a region's buckets are host names, and `localhost`."""
    return (f"oss-{region}.aliyuncs.com", f"oss-{region}-internal.aliyuncs.com", "localhost")


def parse_target(raw: str, host: str, domains: Iterable[str]) -> Target:
    """Read a request target and a Host header.

    `bucket.domain` is virtual-hosted style for each of the domains. Every other host (an IP address, the domain
    itself, a name such as `oss`) is path style, `/bucket/key`. A target in absolute form (RFC 9112, 3.2.2), as a client
    of a proxy sends it, brings its own host.

    Raises:
        OssError: the key or a parameter is not UTF-8.
    """
    for scheme in _SCHEMES:
        if raw.lower().startswith(scheme):
            host, slash, rest = raw[len(scheme) :].partition("/")
            raw = slash + rest
    path, _, query = raw.partition("?")
    path = path.removeprefix("/")
    bucket = _bucket_of(host, domains)
    virtual_hosted = bool(bucket)
    if not virtual_hosted:
        bucket, _, path = path.partition("/")
    try:
        return Target(host, unquote(bucket, errors="strict"), _decode(path), _parse_query(query), virtual_hosted)
    except UnicodeError:
        raise OssError(HTTPStatus.BAD_REQUEST, "InvalidURI", "The URI is not UTF-8.") from None


def _decode(raw: str) -> str:
    # A client may send bytes above 127 unescaped; aiohttp then hands surrogates, which strict decoding refuses below.
    key = unquote(raw, errors="strict")
    key.encode()
    return key


def _bucket_of(host: str, domains: Iterable[str]) -> str:
    name, colon, port = host.lower().rpartition(":")
    if not colon or not port.isdigit():
        name = host.lower()
    for domain in domains:
        bucket, dot, _ = name.partition("." + domain)
        if dot and name == f"{bucket}.{domain}":
            return bucket
    return ""


def _parse_query(raw: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for pair in filter(None, raw.split("&")):
        name, _, value = pair.partition("=")
        try:
            pairs.append((unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict")))
        except UnicodeError:
            raise invalid_argument("A parameter is not UTF-8.") from None
    return tuple(pairs)
