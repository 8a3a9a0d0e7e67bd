"""Dates as OSS reads and writes them. Inside the server a time is seconds since 1970."""

from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime

_ISO_BASIC = "%Y%m%dT%H%M%SZ"


def http_date(seconds: float) -> str:
    """As headers have it: `Sat, 16 Dec 2023 16:20:57 GMT`."""
    return formatdate(seconds, usegmt=True)


def iso_date(seconds: float) -> str:
    """As XML has it: `2023-12-16T16:20:57.000Z`; a number if that is no date, which the expiry of a URL need not be."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    except (OSError, OverflowError, ValueError):
        return f"{seconds:.0f}"


def iso_basic(seconds: float) -> str:
    """As V4 signatures have it: `20231216T162057Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime(_ISO_BASIC)


def parse_http_date(value: str | None) -> float | None:
    """Read a date header; None if it is absent or malformed."""
    if not value:
        return None
    try:
        time = parsedate_to_datetime(value)
        return (time.replace(tzinfo=UTC) if time.tzinfo is None else time).timestamp()
    except (OverflowError, ValueError):
        return None


def parse_signing_date(value: str | None) -> float | None:
    """Read x-oss-date or Date: ISO 8601 basic format or an HTTP date; None if it is neither."""
    try:
        return datetime.strptime(value or "", _ISO_BASIC).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return parse_http_date(value)
