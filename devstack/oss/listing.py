"""Listing objects: pages, common prefixes, and where the next page starts.

A page asks the index for keys from a position on. Under a delimiter it jumps over each common prefix, so a page of a
thousand "folders" reads a thousand rows however many objects are in them.
"""

from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from devstack.oss.errors import invalid_argument
from devstack.oss.storage import StoredObject

# All objects from a position on, in the order of their keys' UTF-8 bytes.
Scan = Callable[[bytes], Iterator[StoredObject]]


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Attributes:
        objects: those that are under no common prefix.
        prefixes: the common prefixes.
        last: the last object's key or common prefix; None if the page is empty.
        following: position of the next page; None if this is the last.
    """

    objects: tuple[StoredObject, ...]
    prefixes: tuple[str, ...]
    last: str | None
    following: bytes | None


def after_key(key: str) -> bytes:
    """The position just behind a key."""
    return key.encode() + b"\x00"


def after_prefix(prefix: str) -> bytes:
    """The position behind all keys with a prefix, which is not empty."""
    # No byte of UTF-8 is 255.
    raw = prefix.encode()
    return raw[:-1] + bytes([raw[-1] + 1])


def after_marker(marker: str, prefix: str, delimiter: str) -> bytes:
    """The position behind what ListObjects (version 1) names with a marker: a key, or a whole common prefix."""
    if not marker:
        return b""
    return after_prefix(marker) if common_prefix(marker, prefix, delimiter) == marker else after_key(marker)


def common_prefix(key: str, prefix: str, delimiter: str) -> str | None:
    """The key up to the first delimiter behind the prefix, or None."""
    if not delimiter or not key.startswith(prefix):
        return None
    end = key.find(delimiter, len(prefix))
    return None if end < 0 else key[: end + len(delimiter)]


def list_page(scan: Scan, *, prefix: str, delimiter: str, start: bytes, max_keys: int) -> Page:
    """Collect up to `max_keys` objects and common prefixes from a position on."""
    objects: list[StoredObject] = []
    prefixes: list[str] = []
    last: str | None = None
    position = max(start, prefix.encode())
    jumped = True
    while jumped:
        jumped = False
        for stored in scan(position):
            if not stored.key.startswith(prefix):
                break
            if len(objects) + len(prefixes) == max_keys:
                return Page(tuple(objects), tuple(prefixes), last, position)
            common = common_prefix(stored.key, prefix, delimiter)
            if common is not None:
                prefixes.append(common)
                last, position, jumped = common, after_prefix(common), True
                break
            objects.append(stored)
            last, position = stored.key, after_key(stored.key)
    return Page(tuple(objects), tuple(prefixes), last, None)


def encode_token(position: bytes) -> str:
    """A position as a continuation token, of characters that no encoding changes."""
    return urlsafe_b64encode(position).decode().rstrip("=")


def decode_token(token: str) -> bytes:
    """The position that a continuation token names.

    Raises:
        OssError: it is none of ours.
    """
    try:
        return b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise invalid_argument(
            "The continuation token provided is incorrect.",
            ArgumentName="continuation-token",
            ArgumentValue=token,
        ) from None
