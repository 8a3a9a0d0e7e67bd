"""Answers before they are sent, and the XML in them.

Documents carry no XML namespace: oss2 looks elements up by their bare names.
"""

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from http import HTTPStatus
from types import TracebackType
from typing import BinaryIO, Self

from devstack.oss.errors import OssError

# An element: its name, and its text or its children.
Element = tuple[str, "str | Sequence[Element]"]

# What XML 1.0 cannot carry, not even escaped; a lister asks for encoding-type=url to be safe from it.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PIECE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class FileSlice:
    """A part of an open file; the answer's context closes it."""

    file: BinaryIO
    start: int
    length: int

    def pieces(self, size: int) -> Iterator[bytes]:
        """The bytes, so many at a time."""
        self.file.seek(self.start)
        left = self.length
        while left and (piece := self.file.read(min(size, left))):
            left -= len(piece)
            yield piece


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as a value, and as the context in which it is sent.

    Attributes:
        status: HTTP status.
        headers: what the operation adds to the headers of every answer.
        body: bytes, or a part of a file.
        length: what Content-Length says if the body is left out, as HEAD does.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | FileSlice = b""
    length: int | None = None

    @property
    def body_length(self) -> int:
        """How many bytes the body has."""
        return self.body.length if isinstance(self.body, FileSlice) else len(self.body)

    def pieces(self, size: int = _PIECE_BYTES) -> Iterator[bytes]:
        """The body, so many bytes at a time."""
        if isinstance(self.body, FileSlice):
            yield from self.body.pieces(size)
        else:
            for start in range(0, len(self.body), size):
                yield self.body[start : start + size]

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """The same answer with further headers."""
        return replace(self, headers={**headers, **self.headers})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file, if there is one."""
        if isinstance(self.body, FileSlice):
            self.body.file.close()


def xml(root: str, children: Sequence[Element]) -> bytes:
    """A document, UTF-8."""
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + _render((root, children)).encode()


def xml_answer(root: str, children: Sequence[Element]) -> Answer:
    """A document with status 200."""
    return Answer(HTTPStatus.OK, {"Content-Type": "application/xml"}, xml(root, children))


def error_answer(error: OssError, *, request_id: str, host: str, head: bool) -> Answer:
    """An error as XML; for HEAD, whose answers have no body, in base64 in the header x-oss-err."""
    elements: list[Element] = [
        ("Code", error.code),
        ("Message", error.message),
        ("RequestId", request_id),
        ("HostId", host),
        *error.details.items(),
    ]
    headers = {}
    if error.ec:
        elements.append(("EC", error.ec))
        headers["x-oss-ec"] = error.ec
    document = xml("Error", elements)
    if head:
        return Answer(error.status, headers | {"x-oss-err": b64encode(document).decode()})
    return Answer(error.status, headers | {"Content-Type": "application/xml"}, document)


def _render(element: Element) -> str:
    name, content = element
    if isinstance(content, str):
        # A parser turns a bare carriage return into a line feed.
        inner = escape(_NOT_XML.sub("\ufffd", content), quote=False).replace("\r", "&#13;")
    else:
        inner = "".join(map(_render, content))
    return f"<{name}>{inner}</{name}>"
