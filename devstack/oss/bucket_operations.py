"""ListObjects (both versions), DeleteMultipleObjects, GetBucketInfo.

Elements are those of https://www.alibabacloud.com/help/en/oss/developer-reference/listobjectsv2 and its sisters.
"""

from collections.abc import Callable
from functools import partial
from hashlib import md5
from http import HTTPStatus
from urllib.parse import quote
from xml.etree import ElementTree as ET

from devstack.oss import listing
from devstack.oss.calls import Call, Context
from devstack.oss.errors import invalid_argument, invalid_digest, malformed_xml
from devstack.oss.listing import Page
from devstack.oss.object_operations import parse_digest
from devstack.oss.responses import Answer, Element, xml_answer
from devstack.oss.storage import StoredObject
from devstack.oss.times import iso_date

DEFAULT_MAX_KEYS = 100
MAX_MAX_KEYS = 1000
MAX_DELETE_KEYS = 1000
MAX_DELETE_BYTES = 2 * 1024 * 1024
# One account owns everything here.
_OWNER: Element = ("Owner", [("ID", "1234567890123456"), ("DisplayName", "1234567890123456")])


async def list_objects(context: Context, call: Call) -> Answer:
    """A page of the bucket, in the version that `list-type` asks for."""
    params = call.target.params
    prefix, delimiter = params.get("prefix", ""), params.get("delimiter", "")
    second = params.get("list-type") == "2"
    start, start_elements = _start_v2(params) if second else _start_v1(params)
    encode = _encoder(params)
    page = listing.list_page(
        partial(context.storage.scan, call.target.bucket),
        prefix=prefix,
        delimiter=delimiter,
        start=start,
        max_keys=_max_keys(params),
    )
    elements: list[Element] = [
        ("Name", call.target.bucket),
        ("Prefix", encode(prefix)),
        *((name, encode(value)) for name, value in start_elements),
        ("MaxKeys", str(_max_keys(params))),
        ("Delimiter", encode(delimiter)),
        *([("EncodingType", "url")] if params.get("encoding-type") else []),
        ("IsTruncated", "false" if page.following is None else "true"),
        *_following(page, encode, second=second),
    ]
    with_owner = not second or params.get("fetch-owner") == "true"
    elements += [_contents(stored, encode, with_owner=with_owner) for stored in page.objects]
    elements += [("CommonPrefixes", [("Prefix", encode(common))]) for common in page.prefixes]
    return xml_answer("ListBucketResult", elements)


async def delete_multiple_objects(context: Context, call: Call) -> Answer:
    """Delete up to 1,000 objects; in quiet mode, without a word."""
    body = b""
    async for chunk in call.body:
        body += chunk
        if len(body) > MAX_DELETE_BYTES:
            raise malformed_xml()
    content_md5 = call.headers.get("content-md5")
    if content_md5 is not None and md5(body, usedforsecurity=False).digest() != parse_digest(content_md5):
        raise invalid_digest(content_md5)
    keys, quiet = _parse_delete(body)
    for key in keys:
        context.storage.delete(call.target.bucket, key)
    if quiet:
        return Answer(HTTPStatus.OK)
    encode = _encoder(call.target.params)
    elements: list[Element] = [("EncodingType", "url")] if call.target.params.get("encoding-type") else []
    elements += [("Deleted", [("Key", encode(key))]) for key in keys]
    return xml_answer("DeleteResult", elements)


async def get_bucket_info(context: Context, call: Call) -> Answer:
    """Name, age and place of the bucket."""
    host = call.target.host
    endpoint = host.partition(".")[2] if call.target.virtual_hosted else host
    created = context.storage.bucket_created(call.target.bucket) or 0.0
    bucket: list[Element] = [
        ("Name", call.target.bucket),
        ("CreationDate", iso_date(created)),
        ("Location", f"oss-{context.region}"),
        ("ExtranetEndpoint", endpoint),
        ("IntranetEndpoint", endpoint),
        ("StorageClass", "Standard"),
        ("DataRedundancyType", "LRS"),
        _OWNER,
        ("AccessControlList", [("Grant", "private")]),
    ]
    return xml_answer("BucketInfo", [("Bucket", bucket)])


def _start_v1(params: dict[str, str]) -> tuple[bytes, list[tuple[str, str]]]:
    marker = params.get("marker", "")
    start = listing.after_marker(marker, params.get("prefix", ""), params.get("delimiter", ""))
    return start, [("Marker", marker)]


def _start_v2(params: dict[str, str]) -> tuple[bytes, list[tuple[str, str]]]:
    after, token = params.get("start-after", ""), params.get("continuation-token", "")
    elements = [("StartAfter", after)] if after else []
    if token:
        return listing.decode_token(token), [*elements, ("ContinuationToken", token)]
    return listing.after_key(after) if after else b"", elements


def _following(page: Page, encode: Callable[[str], str], *, second: bool) -> list[Element]:
    elements: list[Element] = []
    if page.following is not None and second:
        elements.append(("NextContinuationToken", encode(listing.encode_token(page.following))))
    elif page.following is not None and page.last is not None:
        elements.append(("NextMarker", encode(page.last)))
    if second:
        elements.append(("KeyCount", str(len(page.objects) + len(page.prefixes))))
    return elements


def _contents(stored: StoredObject, encode: Callable[[str], str], *, with_owner: bool) -> Element:
    elements: list[Element] = [
        ("Key", encode(stored.key)),
        ("LastModified", iso_date(stored.modified)),
        ("ETag", stored.etag),
        ("Type", "Normal"),
        ("Size", str(stored.size)),
        ("StorageClass", "Standard"),
    ]
    return ("Contents", [*elements, _OWNER] if with_owner else elements)


def _max_keys(params: dict[str, str]) -> int:
    text = params.get("max-keys") or str(DEFAULT_MAX_KEYS)
    # At most four digits are of interest, and Python refuses to read very long numbers.
    value = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_MAX_KEYS)) else 0
    if not 1 <= value <= MAX_MAX_KEYS:
        raise invalid_argument(
            "Argument max-keys must be an integer between 1 and 1000.", ArgumentName="max-keys", ArgumentValue=text
        )
    return value


def _encoder(params: dict[str, str]) -> Callable[[str], str]:
    match params.get("encoding-type", ""):
        case "url":
            return partial(quote, safe="")
        case "":
            return str
        case other:
            raise invalid_argument(
                "Invalid Encoding Method specified in Request", ArgumentName="encoding-type", ArgumentValue=other
            )


def _parse_delete(body: bytes) -> tuple[list[str], bool]:
    """Read a Delete document: the keys, and whether to be quiet about them."""
    try:
        # The client is signed in and on this machine, and expat bounds the expansion of entities.
        root = ET.fromstring(body)  # noqa: S314
    except ET.ParseError:
        raise malformed_xml() from None
    keys = [element.findtext("Key") or "" for element in root.findall("Object")]
    if root.tag != "Delete" or not 1 <= len(keys) <= MAX_DELETE_KEYS or "" in keys:
        raise malformed_xml()
    return keys, (root.findtext("Quiet") or "").strip().lower() == "true"
