"""Events are read from lines; a bad line costs itself and no other, and is told by its number."""

import csv
import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import UploadEvent
from producer.cli.lines import BadHeader, Event, Format, read_events

HEADER = b"object_key,meta_id,company_id\n"
GOOD = b'{"object_key": "a.jpg", "meta_id": 1, "company_id": 7}'
EVENT = UploadEvent(object_key="a.jpg", meta_id=1, company_id=7)
KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), min_size=1, max_size=100)
INT64 = st.integers(-(2**63), 2**63 - 1)
EVENTS = st.lists(st.builds(UploadEvent, object_key=KEYS, meta_id=INT64, company_id=INT64), max_size=10)


def read(content: bytes, form: Format) -> tuple[list[Event], dict[int, str]]:
    """Read all events, and the complaints by line."""
    complaints: dict[int, str] = {}

    def reject(number: int, reason: str, line: bytes) -> None:
        assert content.splitlines(keepends=True)[number - 1].startswith(line) or b"\r" in content
        complaints[number] = reason

    events = list(read_events(io.BytesIO(content), form, reject=reject, advance=lambda _: None))
    return events, complaints


@given(EVENTS)
def test_csv_comes_out_as_it_went_in(events: list[UploadEvent]) -> None:
    """Whatever Python's csv writes, quotes and commas and all."""
    file = io.StringIO()
    writer = csv.DictWriter(file, ["company_id", "object_key", "meta_id"])
    writer.writeheader()
    writer.writerows(event.model_dump() for event in events)
    assert read(file.getvalue().encode(), Format.CSV) == (events, {})


@given(EVENTS, st.booleans())
def test_jsonl_comes_out_as_it_went_in(events: list[UploadEvent], ascii_only: bool) -> None:
    """Escaped or not."""
    lines = (json.dumps(event.model_dump(), ensure_ascii=ascii_only) for event in events)
    assert read("\n".join(lines).encode(), Format.JSONL) == (events, {})


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n")).filter(lambda text: text.strip()))
def test_a_line_of_csv_has_the_cells_that_pythons_csv_sees(text: str) -> None:
    """Also where a shorter way is taken to find them."""
    line = text.rstrip("\r")
    try:
        expected = len(next(csv.reader([line], strict=True)))
    except csv.Error:
        expected = None
    _, complaints = read(HEADER + b"\n" + line.encode() + b"\n", Format.CSV)
    told = re.match(r"(\d+) columns where", complaints.get(3, ""))
    if expected is None:
        assert complaints[3].startswith("not CSV: ")
    elif line.strip():
        assert (3 if told is None else int(told[1])) == expected


@given(st.binary(max_size=300))
def test_any_bytes_are_read_to_their_end(content: bytes) -> None:
    """Rubbish is complained of, and is never a traceback."""
    events, complaints = read(content, Format.JSONL)
    assert len(events) + len(complaints) <= content.count(b"\n") + 1
    try:
        read(HEADER + content, Format.CSV)
    except BadHeader:
        pytest.fail("the header was good")


def test_bad_lines_are_told_by_number() -> None:
    """Counted from 1, blank lines too, which are no events and no complaint."""
    content = b"\n".join([GOOD, b"", b"{", GOOD, b"\xff\xfe", b"7", GOOD.replace(b"7", b'"7"'), b"  ", GOOD])
    events, complaints = read(content, Format.JSONL)
    assert events == [EVENT] * 3
    assert list(complaints) == [3, 5, 6, 7]
    assert complaints[3].startswith("not JSON: ")
    assert complaints[5] == "not UTF-8: byte 1 of the line"
    assert complaints[7].startswith("company_id: ")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"a.jpg,1", "2 columns where there should be 3"),
        (b"a.jpg,1,7,8", "4 columns where there should be 3"),
        (b"a.jpg,one,7", "meta_id: "),
        (b"a.jpg,1.0,7", "meta_id: "),
        (b"a.jpg, 1,7", "meta_id: "),
        (b"a.jpg,+1,7", "meta_id: "),
        (b"a.jpg,1_000,7", "meta_id: "),
        ("a.jpg,\N{ARABIC-INDIC DIGIT ONE},7".encode(), "meta_id: "),
        (b"a.jpg,,7", "meta_id: "),
        (b"a.jpg,1," + b"9" * 19, "company_id: "),
        (b"a.jpg,1," + b"9" * 10000, "company_id: "),
        (b",1,7", "object_key: "),
        (b'"a.jpg,1,7', "not CSV: "),
        (b'"a"b,1,7', "not CSV: "),
        (b"x" * 70000 + b",1,7", "longer than 65,536 bytes"),
        (b"x" * 1024 + b",1,7", "object_key: "),
    ],
)
def test_a_bad_line_of_csv_spoils_no_other(line: bytes, reason: str) -> None:
    """Ids are -?digits within 64 bits, and nothing else."""
    events, complaints = read(HEADER + b"a.jpg,1,7\n" + line + b"\na.jpg,1,7\n", Format.CSV)
    assert events == [EVENT, EVENT]
    assert list(complaints) == [3]
    assert complaints[3].startswith(reason)


@pytest.mark.parametrize("line", [b"[" * 60000, b'{"object_key": NaN}', b"1" * 10000, b"x" * 200000, b"null"])
def test_a_bad_line_of_json_spoils_no_other(line: bytes) -> None:
    """However deep, long or odd."""
    events, complaints = read(GOOD + b"\n" + line + b"\n" + GOOD, Format.JSONL)
    assert events == [EVENT, EVENT]
    assert list(complaints) == [2]


def test_what_spreadsheets_write() -> None:
    """A byte order mark, CRLF, columns in another order and a quoted negative id."""
    content = b'\xef\xbb\xbfcompany_id,object_key,meta_id\r\n7,a.jpg,1\r\n"-7","a ""b"".jpg",-1\r\n'
    events, complaints = read(content, Format.CSV)
    assert events == [EVENT, UploadEvent(object_key='a "b".jpg', meta_id=-1, company_id=-7)]
    assert complaints == {}


@pytest.mark.parametrize(
    "header",
    [b"a.jpg,1,7", b"object_key,meta_id", b"object_key,meta_id,company_id,tag", b"key;meta;company", b"\xff", b'"open'],
)
def test_a_bad_header_stops_all(header: bytes) -> None:
    """Without the names of the columns no line can be trusted."""
    with pytest.raises(BadHeader, match=r"^line 2: "):
        read(b"\n" + header + b"\na.jpg,1,7\n", Format.CSV)


@pytest.mark.parametrize("form", list(Format))
def test_an_empty_file_holds_no_events(form: Format) -> None:
    """That is no error."""
    assert read(b"", form) == ([], {})


def test_progress_counts_bytes() -> None:
    """Of good and bad lines, blank ones and the header."""
    content = b"\xef\xbb\xbf" + HEADER + b"\na.jpg,1,7\nbad\n"
    lengths: list[int] = []
    list(read_events(io.BytesIO(content), Format.CSV, reject=lambda *_: None, advance=lengths.append))
    assert sum(lengths) == len(content)
