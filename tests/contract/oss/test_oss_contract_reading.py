"""Ranges, conditions, headers and digests of objects, through oss2."""

from contextlib import closing
from http import HTTPStatus
from typing import Any

import oss2
import pytest
import requests

BODY = bytes(range(256)) * 40


@pytest.fixture
def stored(bucket: Any) -> Any:
    """A bucket with an object."""
    bucket.put_object("a.jpg", BODY, headers={"Cache-Control": "no-cache", "x-oss-meta-author": "someone"})
    return bucket


@pytest.mark.parametrize("key", ["../../etc/passwd", "a/../../b", "a/./b", "a/.."])
def test_dots_are_part_of_the_key(bucket: Any, key: str) -> None:
    """A key that looks like a path is a key."""
    # Not for alibabacloud-oss-v2: it leaves slashes as they are, so urllib3 resolves the dots after signing.
    bucket.put_object(key, BODY)
    assert bucket.get_object(key).read() == BODY
    assert [stored.key for stored in oss2.ObjectIteratorV2(bucket)] == [key]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [((0, 9), BODY[:10]), ((10, None), BODY[10:]), ((None, 10), BODY[-10:]), ((5, 5), BODY[5:6])],
)
def test_a_range_is_part_of_the_object(stored: Any, asked: tuple[int | None, int | None], expected: bytes) -> None:
    """A range answers 206 with its bytes, its place, and the CRC of the whole object."""
    result = stored.get_object("a.jpg", byte_range=asked)
    assert (result.status, result.read()) == (HTTPStatus.PARTIAL_CONTENT, expected)
    assert result.content_range.endswith(f"/{len(BODY)}")
    assert str(result.server_crc) == stored.head_object("a.jpg").headers["x-oss-hash-crc64ecma"]


@pytest.mark.parametrize("asked", [(len(BODY), None), (0, len(BODY)), (None, len(BODY) + 1)])
def test_a_range_outside_of_the_object_is_all_of_it(stored: Any, asked: tuple[int | None, int | None]) -> None:
    """OSS answers 200 with the whole object, unless it is asked to behave like everybody else."""
    result = stored.get_object("a.jpg", byte_range=asked)
    assert (result.status, result.read()) == (HTTPStatus.OK, BODY)


def test_standard_behaviour_refuses_it(stored: Any) -> None:
    """With x-oss-range-behavior: standard the answer is 416 InvalidRange."""
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        stored.get_object("a.jpg", (len(BODY), None), headers={"x-oss-range-behavior": "standard"})
    assert (caught.value.status, caught.value.code) == (416, "InvalidRange")


def test_conditions_spare_the_download(stored: Any) -> None:
    """The ETag that the client has means 304; another one in If-Match means 412; for GET and HEAD alike."""
    etag = stored.head_object("a.jpg").etag
    for call in (stored.get_object, stored.head_object):
        assert call("a.jpg", headers={"If-Match": etag}).status == HTTPStatus.OK
        assert call("a.jpg", headers={"If-None-Match": "other"}).status == HTTPStatus.OK
        with pytest.raises(oss2.exceptions.NotModified):
            call("a.jpg", headers={"If-None-Match": f'"{etag}"'})
        with pytest.raises(oss2.exceptions.PreconditionFailed):
            call("a.jpg", headers={"If-Match": "other"})


def test_conditions_know_the_time(stored: Any) -> None:
    """An object that did not change since Last-Modified is not sent again."""
    modified = stored.head_object("a.jpg").headers["Last-Modified"]
    with pytest.raises(oss2.exceptions.NotModified):
        stored.get_object("a.jpg", headers={"If-Modified-Since": modified})
    assert stored.get_object("a.jpg", headers={"If-Unmodified-Since": modified}).read() == BODY


def test_meta_is_less_than_head(stored: Any) -> None:
    """GetObjectMeta tells size and ETag and no more of the object; and whether it exists."""
    headers = stored.get_object_meta("a.jpg").headers
    assert headers["Content-Length"] == str(len(BODY))
    assert "x-oss-meta-author" not in headers
    assert stored.object_exists("a.jpg")
    assert not stored.object_exists("b.jpg")


def test_headers_of_the_put_come_back(stored: Any) -> None:
    """What the client said of caching and encoding is said again, and a compressed object stays compressed."""
    assert stored.get_object("a.jpg").headers["Cache-Control"] == "no-cache"
    stored.put_object("a.gz", b"not really gzip", headers={"Content-Encoding": "gzip"})
    assert stored.head_object("a.gz").headers["Content-Encoding"] == "gzip"
    assert stored.head_object("a.gz").content_length == len(b"not really gzip")


def test_a_url_may_change_the_headers_of_the_answer(stored: Any, http: requests.Session) -> None:
    """`response-` parameters, which are signed, replace headers; a line end does not get through."""
    url = stored.sign_url("GET", "a.jpg", 60, params={"response-content-type": "text/plain"})
    assert http.get(url).headers["Content-Type"] == "text/plain"
    url = stored.sign_url("GET", "a.jpg", 60, params={"response-content-type": "a\r\nSet-Cookie: b"})
    assert http.get(url).status_code == HTTPStatus.BAD_REQUEST


def test_a_digest_guards_a_put(bucket: Any) -> None:
    """A Content-MD5 that is not that of the body, or is none, refuses it, and the object before stays."""
    bucket.put_object("a", b"one", headers={"Content-MD5": oss2.utils.content_md5(b"one")})
    for digest in (oss2.utils.content_md5(b"other"), "not a digest"):
        with pytest.raises(oss2.exceptions.InvalidDigest):
            bucket.put_object("a", b"two", headers={"Content-MD5": digest})
    assert bucket.get_object("a").read() == b"one"


def test_a_put_may_forbid_to_overwrite(bucket: Any) -> None:
    """With x-oss-forbid-overwrite the first put wins."""
    headers = {"x-oss-forbid-overwrite": "true"}
    bucket.put_object("a", b"one", headers=headers)
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.put_object("a", b"two", headers=headers)
    assert (caught.value.status, caught.value.code) == (409, "FileAlreadyExists")


def test_a_body_of_unknown_length_is_taken(bucket: Any) -> None:
    """A put in chunks, without Content-Length, is the same object."""
    bucket.put_object("a", iter([b"one", b"two"]))
    assert bucket.get_object("a").read() == b"onetwo"


def test_a_large_body_comes_back(bucket: Any) -> None:
    """A body that is larger than all buffers on its way is whole."""
    body = BODY * 500
    bucket.put_object("large", body)
    with closing(bucket.get_object("large")) as result:
        assert result.read() == body
        assert result.client_crc == result.server_crc
