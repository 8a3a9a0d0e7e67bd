"""Upload events from the lines of a CSV or JSONL file, bad lines apart from good ones.

One line is one event, in CSV too: a quote that is never closed spoils its own line and no other. (A key with a line
break in it is for JSONL.)
"""

import csv
import json
import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import BinaryIO, Final

from contract import InvalidMessage, ObjectEvent, UploadEvent, decode_event
from contract.decoding import decode_as

_COLUMNS: Final = ("object_key", "meta_id", "company_id")
_INTEGER: Final = re.compile(r"-?[0-9]{1,30}")
# A key of 1,023 bytes is 6,138 when JSON escapes every byte. This guards against a film that is named events.csv.
_MAX_LINE: Final = 64 * 1024
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

Event = UploadEvent | ObjectEvent
Parse = Callable[[str], Event]
Reject = Callable[[int, str, bytes], None]
Advance = Callable[[int], None]


class Format(StrEnum):
    """How events are written in a file."""

    CSV = "csv"
    JSONL = "jsonl"
    OSS_EVENT = "oss-event"


class BadHeader(InvalidMessage):
    """The first line of a CSV file does not name the columns."""


def read_events(file: BinaryIO, form: Format, *, reject: Reject, advance: Advance) -> Iterator[Event]:
    """Read events as they are asked for.

    Args:
        file: in binary mode.
        form: CSV or JSONL. CSV begins with a header of the three names, in any order.
        reject: called with the number of a bad line, counted from 1, what is wrong with it, and the line: of one that
            is too long, the beginning.
        advance: called with the bytes of each line.

    Raises:
        BadHeader: of a CSV file.
    """
    parse: Parse | None = _parse_json if form is Format.JSONL else None
    for number, raw in enumerate(lines_of(file), start=1):
        advance(len(raw))
        if number == 1:
            raw = raw.removeprefix(_BYTE_ORDER_MARK)  # noqa: PLW2901 - the same line, less what is no part of it
        if not raw.strip():
            continue
        try:
            text = _decode(raw)
            if parse is None:
                parse = _csv_parser(text)
                continue
            event = parse(text)
        except BadHeader:
            raise
        except InvalidMessage as error:
            if parse is None:
                raise BadHeader(f"line {number}: {error}") from None
            reject(number, str(error), raw)
        else:
            yield event


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """Read lines; of one that is too long, its beginning, which is too long still."""
    while line := file.readline(_MAX_LINE + 1):
        yield line
        while len(line) > _MAX_LINE and not line.endswith(b"\n"):
            line = file.readline(_MAX_LINE + 1)


def _decode(raw: bytes) -> str:
    if len(raw) > _MAX_LINE:
        raise InvalidMessage(f"longer than {_MAX_LINE:,} bytes")
    try:
        return raw.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InvalidMessage(f"not UTF-8: byte {error.start + 1} of the line") from None


def _parse_json(text: str) -> Event:
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise InvalidMessage(f"not JSON: {error}") from None
    except RecursionError:
        raise InvalidMessage("not an event: nested too deeply") from None
    return decode_event(raw)


def _csv_parser(header: str) -> Parse:
    columns = [name.strip() for name in _cells(header)]
    if sorted(columns) != sorted(_COLUMNS):
        raise InvalidMessage(f"the header names the columns {', '.join(_COLUMNS)}, not {', '.join(columns)}")

    key, meta_id, company_id = map(columns.index, _COLUMNS)

    def parse(text: str) -> Event:
        cells = _cells(text)
        if len(cells) != len(columns):
            raise InvalidMessage(f"{len(cells)} columns where there should be {len(columns)}")
        ids = {"meta_id": _integer(cells[meta_id]), "company_id": _integer(cells[company_id])}
        return decode_as(UploadEvent, {"object_key": cells[key], **ids})

    return parse


def _cells(text: str) -> list[str]:
    if '"' not in text and "\r" not in text:
        return text.split(",")  # what the reader does then, in a quarter of the time
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise InvalidMessage(f"not CSV: {error}") from None


def _integer(text: str) -> int | str:
    # What is no integer is left to the contract, which says so.
    return int(text) if _INTEGER.fullmatch(text) else text
