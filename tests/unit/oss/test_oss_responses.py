"""Answers as values, and the XML in them."""

from base64 import b64decode
from io import BytesIO
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devstack.oss.errors import OssError, no_such_key
from devstack.oss.responses import Answer, FileSlice, error_answer, xml


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])) | st.sampled_from(["a\rb", "a\nb\r\n", "<&>\"'", "]]>"]))
def test_text_survives_xml(text: str) -> None:
    """Whatever XML can carry comes back unchanged, line ends included."""
    document = ET.fromstring(xml("Root", [("Key", text), ("Inner", [("Key", text)])]))  # noqa: S314 - our own
    expected = text.replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd")
    assert [element.text or "" for element in document.iter("Key")] == [expected, expected]


@pytest.mark.parametrize("text", ["a\x00b", "a\x1bb", "a\udcffb", "a\uffffb"])
def test_what_xml_cannot_carry_does_not_break_it(text: str) -> None:
    """A character that no XML document may have is replaced."""
    document = ET.fromstring(xml("Root", [("Key", text)]))  # noqa: S314 - our own
    assert document.findtext("Key") == "a\ufffdb"


def test_elements_have_no_namespace() -> None:
    """The SDKs look elements up by their bare names."""
    assert xml("Error", [("Code", "NoSuchKey")]).endswith(b"<Error><Code>NoSuchKey</Code></Error>")


def test_an_error_is_a_document() -> None:
    """An error has the elements of OSS, its own details, and the number of the page that explains it."""
    answer = error_answer(no_such_key("a.jpg"), request_id="ID", host="host", head=False)
    document = ET.fromstring(answer.body if isinstance(answer.body, bytes) else b"")  # noqa: S314 - our own
    assert (answer.status, answer.headers["x-oss-ec"]) == (404, "0026-00000001")
    assert {child.tag: child.text for child in document} == {
        "Code": "NoSuchKey",
        "Message": "The specified key does not exist.",
        "RequestId": "ID",
        "HostId": "host",
        "Key": "a.jpg",
        "EC": "0026-00000001",
    }


def test_an_error_to_head_is_in_a_header() -> None:
    """HEAD has no body, so the document travels in base64 in x-oss-err."""
    error = OssError(404, "NoSuchKey", "Gone.")
    in_body = error_answer(error, request_id="ID", host="host", head=False)
    in_header = error_answer(error, request_id="ID", host="host", head=True)
    assert in_header.body == b""
    assert b64decode(in_header.headers["x-oss-err"]) == in_body.body


@given(body=st.binary(max_size=20), size=st.integers(1, 7), data=st.data())
def test_pieces_make_up_the_body(body: bytes, size: int, data: st.DataObject) -> None:
    """A slice of a file yields its bytes, none of them twice, in pieces of at most the size that was asked for."""
    start = data.draw(st.integers(0, len(body)))
    length = data.draw(st.integers(0, len(body) - start))
    with Answer(200, body=FileSlice(BytesIO(body), start, length)) as answer:
        pieces = list(answer.pieces(size))
    assert b"".join(pieces) == body[start : start + length] == b"".join(Answer(200, body=b"".join(pieces)).pieces(size))
    assert all(1 <= len(piece) <= size for piece in pieces)
    assert answer.body_length == length


def test_the_context_closes_the_file() -> None:
    """The file of an answer is open while it is sent, and not after."""
    file = BytesIO(b"body")
    with Answer(200, body=FileSlice(file, 0, 4)):
        assert not file.closed
    assert file.closed
