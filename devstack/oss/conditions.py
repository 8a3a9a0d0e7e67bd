"""Conditional requests and byte ranges.

Conditions follow RFC 9110, 13.2.2: If-Match shadows If-Unmodified-Since, If-None-Match shadows If-Modified-Since.

Ranges follow OSS, which is not RFC 9110: what is malformed or reaches outside of the object is ignored, and the answer
is 200 with the whole object, unless the request says `x-oss-range-behavior: standard`.
https://help.aliyun.com/en/oss/how-to-obtain-oss-resources-by-segmenting-http-range-requests
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from devstack.oss.errors import invalid_range, precondition_failed
from devstack.oss.times import parse_http_date

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of an object: the first one and how many."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        """The value of Content-Range for an object of that size."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


def is_modified(headers: Mapping[str, str], etag: str, modified: int) -> bool:
    """Weigh a request's conditions against an object.

    Args:
        headers: the request's, by lower-case name.
        etag: the object's, without quotes.
        modified: seconds since 1970.

    Returns:
        Whether to send the object; if not, the answer is 304.

    Raises:
        OssError: a precondition does not hold (412).
    """
    if (match := headers.get("if-match")) is not None:
        if not _lists(match, etag):
            raise precondition_failed("If-Match")
    elif (since := parse_http_date(headers.get("if-unmodified-since"))) is not None and modified > since:
        raise precondition_failed("If-Unmodified-Since")
    if (match := headers.get("if-none-match")) is not None:
        return not _lists(match, etag)
    since = parse_http_date(headers.get("if-modified-since"))
    return since is None or modified > since


def parse_range(header: str | None, size: int, *, standard: bool = False) -> Span | None:
    """Read a Range header for an object of that size.

    Of several ranges OSS serves the first.

    Returns:
        The bytes to send with 206; None for the whole object with 200.

    Raises:
        OssError: in standard behaviour, no byte of the range exists (416).
    """
    match = _RANGE.fullmatch(header.split(",")[0].strip()) if header else None
    if header is None or match is None or not any(match.groups()):
        return None
    first, last = (int(digits) if digits else None for digits in match.groups())
    if first is not None and last is not None and first > last:
        return None
    if first is None:
        start, end = size - (last or 0), size
    else:
        start, end = first, size if last is None else last + 1
    if standard:
        start, end = max(start, 0), min(end, size)
        if start >= end:
            raise invalid_range(header, size)
    elif not 0 <= start < end <= size:
        return None
    return Span(start, end - start)


def _lists(header: str, etag: str) -> bool:
    # oss2 strips the quotes from the ETags that it hands out, and OSS takes them without.
    candidates = {part.strip().removeprefix("W/").strip('"') for part in header.split(",")}
    return "*" in candidates or etag in candidates
