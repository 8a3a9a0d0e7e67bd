"""Pages of a listing, against the plain meaning of one."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devstack.oss.errors import OssError
from devstack.oss.listing import (
    Scan,
    after_key,
    after_marker,
    decode_token,
    encode_token,
    list_page,
)
from devstack.oss.storage import StoredObject

# Few characters, so that prefixes and delimiters meet; with some that sort differently in UTF-8 and UTF-16.
KEYS = st.lists(st.text("a/b\U0001f600\uffee", min_size=1, max_size=6), unique=True, max_size=20)
PREFIXES = st.text("a/b", max_size=2)
DELIMITERS = st.sampled_from(["", "/", "b", "a/"])


def scan_of(keys: list[str]) -> Scan:
    """An index of some keys."""
    ordered = sorted(keys, key=str.encode)

    def scan(start: bytes) -> Iterator[StoredObject]:
        return (StoredObject(key, "", 0, "", "0", 0, {}) for key in ordered if key.encode() >= start)

    return scan


def plain_listing(keys: list[str], prefix: str, delimiter: str) -> list[str]:
    """Objects and common prefixes in one list, by the book."""
    entries = set()
    for key in keys:
        if key.startswith(prefix):
            rest = key[len(prefix) :]
            cut = rest.find(delimiter) if delimiter else -1
            entries.add(key if cut < 0 else prefix + rest[: cut + len(delimiter)])
    return sorted(entries, key=str.encode)


@given(keys=KEYS, prefix=PREFIXES, delimiter=DELIMITERS, max_keys=st.integers(1, 5))
def test_pages_make_up_the_whole_listing(keys: list[str], prefix: str, delimiter: str, max_keys: int) -> None:
    """Page after page, each entry comes once and in order, and every page but the last is full."""
    start, entries = b"", list[str]()
    while True:
        page = list_page(scan_of(keys), prefix=prefix, delimiter=delimiter, start=start, max_keys=max_keys)
        found = [stored.key for stored in page.objects] + list(page.prefixes)
        entries += sorted(found, key=str.encode)
        if page.following is None:
            break
        assert len(found) == max_keys
        assert page.last == entries[-1]
        start = decode_token(encode_token(page.following))
    assert entries == plain_listing(keys, prefix, delimiter)


@given(keys=KEYS, prefix=PREFIXES, delimiter=DELIMITERS, max_keys=st.integers(1, 5))
def test_markers_make_up_the_whole_listing(keys: list[str], prefix: str, delimiter: str, max_keys: int) -> None:
    """ListObjects version 1, which knows only names, pages through the same entries."""
    marker, entries = "", list[str]()
    while True:
        start = after_marker(marker, prefix, delimiter)
        page = list_page(scan_of(keys), prefix=prefix, delimiter=delimiter, start=start, max_keys=max_keys)
        entries += sorted([stored.key for stored in page.objects] + list(page.prefixes), key=str.encode)
        if page.following is None or page.last is None:
            break
        marker = page.last
    assert entries == plain_listing(keys, prefix, delimiter)


def test_start_after_excludes_the_key_itself() -> None:
    """A listing that starts after a key begins with the next one, even if that only adds to it."""
    page = list_page(scan_of(["a", "a\x00", "b"]), prefix="", delimiter="", start=after_key("a"), max_keys=10)
    assert [stored.key for stored in page.objects] == ["a\x00", "b"]


def test_a_delimiter_reads_one_row_for_each_common_prefix() -> None:
    """However many objects are under a common prefix, the listing jumps over them."""
    read = list[str]()
    scan = scan_of([f"{folder}/{number}" for folder in "abc" for number in range(100)])

    def counting_scan(start: bytes) -> Iterator[StoredObject]:
        for stored in scan(start):
            read.append(stored.key)
            yield stored

    page = list_page(counting_scan, prefix="", delimiter="/", start=b"", max_keys=10)
    assert page.prefixes == ("a/", "b/", "c/")
    assert read == ["a/0", "b/0", "c/0"]


@pytest.mark.parametrize("token", ["a", "猫", "a=b", "a!bc"])
def test_a_token_that_is_none_of_ours_is_refused(token: str) -> None:
    """A continuation token that cannot be read answers 400 InvalidArgument."""
    with pytest.raises(OssError) as caught:
        decode_token(token)
    assert (caught.value.status, caught.value.code) == (400, "InvalidArgument")
