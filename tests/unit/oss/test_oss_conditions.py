"""Conditional requests and byte ranges."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devstack.oss.conditions import Span, is_modified, parse_range
from devstack.oss.errors import OssError

ETAG = "5D41402ABC4B2A76B9719D911017C592"
MODIFIED = 1_700_000_000
BEFORE, AT, AFTER = (formatdate(MODIFIED + delta, usegmt=True) for delta in (-1, 0, 1))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"if-match": f'"{ETAG}"'},
        {"if-match": ETAG},
        {"if-match": f'"other", W/"{ETAG}"'},
        {"if-match": "*"},
        {"if-match": ETAG, "if-unmodified-since": BEFORE},
        {"if-none-match": '"other"'},
        {"if-none-match": '"other"', "if-modified-since": AFTER},
        {"if-modified-since": BEFORE},
        {"if-unmodified-since": AT},
        {"if-unmodified-since": AFTER},
        {"if-modified-since": "yesterday"},
        {"if-unmodified-since": "Thu, 99 Foo 2024"},
    ],
)
def test_conditions_that_hold_let_the_object_through(headers: dict[str, str]) -> None:
    """An ETag with or without quotes matches, ETags shadow dates, and a malformed date is no condition."""
    assert is_modified(headers, ETAG, MODIFIED)


@pytest.mark.parametrize(
    "headers",
    [
        {"if-none-match": f'"{ETAG}"'},
        {"if-none-match": ETAG},
        {"if-none-match": "*"},
        {"if-none-match": ETAG, "if-modified-since": BEFORE},
        {"if-modified-since": AT},
        {"if-modified-since": AFTER},
    ],
)
def test_what_the_client_has_is_not_sent_again(headers: dict[str, str]) -> None:
    """The ETag that the client has, or no change since its date, means 304."""
    assert not is_modified(headers, ETAG, MODIFIED)


@pytest.mark.parametrize(
    ("headers", "condition"),
    [
        ({"if-match": '"other"'}, "If-Match"),
        ({"if-match": '"other"', "if-unmodified-since": AFTER}, "If-Match"),
        ({"if-unmodified-since": BEFORE}, "If-Unmodified-Since"),
        ({"if-unmodified-since": BEFORE, "if-none-match": ETAG}, "If-Unmodified-Since"),
    ],
)
def test_a_precondition_that_fails_is_named(headers: dict[str, str], condition: str) -> None:
    """Another ETag or a later change means 412, and the error says which header it was."""
    with pytest.raises(OssError) as caught:
        is_modified(headers, ETAG, MODIFIED)
    assert (caught.value.status, caught.value.details) == (412, {"Condition": condition})


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-499", Span(0, 500)),
        ("bytes=500-999", Span(500, 500)),
        ("bytes=-500", Span(500, 500)),
        ("bytes=500-", Span(500, 500)),
        ("bytes=0-", Span(0, 1000)),
        ("bytes=-1000", Span(0, 1000)),
        ("bytes=0-499,500-999", Span(0, 500)),
    ],
)
def test_the_ranges_of_the_documentation(header: str, span: Span) -> None:
    """The documentation's examples for an object of 1,000 bytes come out; of several ranges the first."""
    assert parse_range(header, 1000) == span


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "byte=0-499",
        "bytes=0-1000",
        "bytes=1000-2000",
        "bytes=1000-",
        "bytes=-2000",
        "bytes=-0",
        "bytes=-",
        "bytes=5-4",
        "bytes=a-b",
        "bytes=0-" + "9" * 5000,
        "bytes=\u0661-\u0662",
    ],
)
def test_a_range_that_does_not_fit_is_ignored(header: str | None) -> None:
    """What is malformed or reaches outside of 1,000 bytes means the whole object."""
    assert parse_range(header, 1000) is None


@pytest.mark.parametrize(
    ("header", "span"),
    [("bytes=500-2000", Span(500, 500)), ("bytes=-2000", Span(0, 1000)), ("bytes=0-499", Span(0, 500))],
)
def test_standard_behaviour_clips(header: str, span: Span) -> None:
    """With `x-oss-range-behavior: standard` a range is cut to the object, as RFC 9110 has it."""
    assert parse_range(header, 1000, standard=True) == span


@pytest.mark.parametrize(("header", "size"), [("bytes=1000-", 1000), ("bytes=-0", 1000), ("bytes=0-", 0)])
def test_standard_behaviour_refuses_a_range_without_bytes(header: str, size: int) -> None:
    """With `x-oss-range-behavior: standard` a range of which no byte exists answers 416."""
    with pytest.raises(OssError) as caught:
        parse_range(header, size, standard=True)
    assert (caught.value.status, caught.value.code) == (416, "InvalidRange")


@given(
    size=st.integers(0, 50),
    first=st.none() | st.integers(0, 60),
    last=st.none() | st.integers(0, 60),
)
def test_a_span_is_what_python_would_slice(size: int, first: int | None, last: int | None) -> None:
    """A span holds the bytes that were asked for, all inside of the object, or the range is ignored."""
    body = bytes(range(size))
    span = parse_range(f"bytes={'' if first is None else first}-{'' if last is None else last}", size)
    if span is None:
        return
    expected = body[-(last or 0) :] if first is None else body[first : None if last is None else last + 1]
    assert body[span.start : span.start + span.length] == expected
    assert span.content_range(size) == f"bytes {span.start}-{span.start + len(expected) - 1}/{size}"
    assert len(expected) == span.length > 0
