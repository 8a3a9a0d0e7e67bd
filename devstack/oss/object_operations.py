"""GetObject, HeadObject, GetObjectMeta, PutObject, DeleteObject.

Headers are those of https://www.alibabacloud.com/help/en/oss/developer-reference/getobject and its sisters.
"""

from base64 import b64decode, b64encode
from http import HTTPStatus

from devstack.oss.calls import Call, Context
from devstack.oss.conditions import is_modified, parse_range
from devstack.oss.errors import file_already_exists, invalid_argument, invalid_digest, no_such_key, not_implemented
from devstack.oss.responses import Answer, FileSlice
from devstack.oss.storage import StoredObject
from devstack.oss.times import http_date

# Headers of a put that a get gives back, beside x-oss-meta-*.
_KEPT_HEADERS = (
    "Content-Type",
    "Cache-Control",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Expires",
)
_META_PREFIX = "x-oss-meta-"
# Headers that make a put another operation, which would be wrong to carry out as a plain put.
_UNSUPPORTED_PUT_HEADERS = ("x-oss-copy-source", "x-oss-callback")
_OVERRIDES = {f"response-{name.lower()}": name for name in _KEPT_HEADERS}


async def get_object(context: Context, call: Call) -> Answer:
    """The object or a range of it, if the conditions hold."""
    stored = _find(context, call)
    if not is_modified(call.headers, stored.md5, stored.modified):
        return _not_modified(stored)
    standard = call.headers.get("x-oss-range-behavior") == "standard"
    span = parse_range(call.headers.get("range"), stored.size, standard=standard)
    headers = _object_headers(stored) | _overrides(call)
    file = context.storage.open(stored)
    if span is None:
        return Answer(HTTPStatus.OK, headers, FileSlice(file, 0, stored.size))
    del headers["Content-MD5"]  # that of the whole object
    headers["Content-Range"] = span.content_range(stored.size)
    return Answer(HTTPStatus.PARTIAL_CONTENT, headers, FileSlice(file, span.start, span.length))


async def head_object(context: Context, call: Call) -> Answer:
    """The headers of GetObject."""
    stored = _find(context, call)
    if not is_modified(call.headers, stored.md5, stored.modified):
        return _not_modified(stored)
    return Answer(HTTPStatus.OK, _object_headers(stored), length=stored.size)


async def get_object_meta(context: Context, call: Call) -> Answer:
    """Size, ETag, CRC and time, and nothing of what the client said when it put the object."""
    stored = _find(context, call)
    return Answer(HTTPStatus.OK, _identity_headers(stored), length=stored.size)


async def put_object(context: Context, call: Call) -> Answer:
    """Store the body, once it is here whole."""
    for name in _UNSUPPORTED_PUT_HEADERS:
        if name in call.headers:
            raise not_implemented(f"the header {name}")
    if call.headers.get("x-oss-storage-class", "Standard") != "Standard":
        raise not_implemented("storage classes other than Standard")
    content_md5 = call.headers.get("content-md5")
    digest = None if content_md5 is None else parse_digest(content_md5)
    bucket, key = call.target.bucket, call.target.key
    with context.storage.upload() as upload:
        async for chunk in call.body:
            upload.write(chunk)
        if content_md5 is not None and upload.md5 != digest:
            raise invalid_digest(content_md5)
        forbidden = call.headers.get("x-oss-forbid-overwrite", "").lower() == "true"
        if forbidden and context.storage.find(bucket, key) is not None:
            raise file_already_exists(key)
        stored = context.storage.put(bucket, key, upload, _headers_to_keep(call), context.clock())
    headers = {
        "ETag": stored.etag,
        "x-oss-hash-crc64ecma": stored.crc64,
        "Content-MD5": b64encode(bytes.fromhex(stored.md5)).decode(),
    }
    return Answer(HTTPStatus.OK, headers)


async def delete_object(context: Context, call: Call) -> Answer:
    """Delete the object; that there was none is no error."""
    context.storage.delete(call.target.bucket, call.target.key)
    return Answer(HTTPStatus.NO_CONTENT)


def parse_digest(content_md5: str) -> bytes:
    """Read a Content-MD5 header.

    Raises:
        OssError: it is not base64.
    """
    try:
        return b64decode(content_md5, validate=True)
    except ValueError:
        raise invalid_digest(content_md5) from None


def _find(context: Context, call: Call) -> StoredObject:
    stored = context.storage.find(call.target.bucket, call.target.key)
    if stored is None:
        raise no_such_key(call.target.key)
    return stored


def _headers_to_keep(call: Call) -> dict[str, str]:
    kept = {name: call.headers[name.lower()] for name in _KEPT_HEADERS if name.lower() in call.headers}
    meta = {name: value for name, value in call.headers.items() if name.startswith(_META_PREFIX)}
    headers = {"Content-Type": "application/octet-stream"} | kept | meta
    for value in headers.values():
        if not value.isprintable():  # surrogates are not, and stand for what is not UTF-8
            raise invalid_argument("A header must be printable and UTF-8.")
    return headers


def _object_headers(stored: StoredObject) -> dict[str, str]:
    return {
        **stored.headers,
        **_identity_headers(stored),
        "Accept-Ranges": "bytes",
        "Content-MD5": b64encode(bytes.fromhex(stored.md5)).decode(),
        "x-oss-object-type": "Normal",
        "x-oss-storage-class": "Standard",
    }


def _identity_headers(stored: StoredObject) -> dict[str, str]:
    # The CRC is that of the whole object, also for a range of it.
    return {
        "ETag": stored.etag,
        "Last-Modified": http_date(stored.modified),
        "x-oss-hash-crc64ecma": stored.crc64,
    }


def _overrides(call: Call) -> dict[str, str]:
    params = call.target.params
    overrides = {header: params[name] for name, header in _OVERRIDES.items() if name in params}
    for value in overrides.values():
        if not value.isprintable():
            raise invalid_argument("A response header must be printable.")
    return overrides


def _not_modified(stored: StoredObject) -> Answer:
    return Answer(HTTPStatus.NOT_MODIFIED, {"ETag": stored.etag, "Last-Modified": http_date(stored.modified)})
