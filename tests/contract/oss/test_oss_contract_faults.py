"""Faults, as the client sees them."""

import socket
import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import oss2
import pytest
import requests

from devstack.oss import Fault, FaultClient, FaultClientError, OssServer, RequestCount

BODY = bytes(range(256)) * 40


@pytest.fixture
def stored(bucket: Any) -> Any:
    """A bucket with an object."""
    bucket.put_object("a.jpg", BODY)
    return bucket


@pytest.fixture
def faults(server: OssServer) -> FaultClient:
    """What breaks things."""
    return server.faults


def read_until_it_breaks(result: Any) -> tuple[bytes, BaseException | None]:
    """The bytes of a download, one at a time, and the error that ended them."""
    body = b""
    try:
        while piece := result.read(1):
            body += piece
    except requests.RequestException as error:
        return body, error
    return body, None


def test_a_status_comes_so_often_and_no_more(stored: Any, faults: FaultClient) -> None:
    """The first requests are answered with an error, as by a server that is overloaded, and the next as ever."""
    with faults.active(Fault("status", status=503, key="a.jpg", times=2)) as rule:
        for _ in range(2):
            with pytest.raises(oss2.exceptions.ServerError) as caught:
                stored.get_object("a.jpg")
            assert (caught.value.status, caught.value.code) == (503, "ServiceUnavailable")
        assert stored.get_object("a.jpg").read() == BODY
        assert faults.hits(rule) == 2


def test_an_object_can_be_late(stored: Any, faults: FaultClient) -> None:
    """An object that is there can be NoSuchKey for a while, as after an upload that is under way."""
    with faults.active(Fault("status", status=404, key="a.jpg", times=1)):
        with pytest.raises(oss2.exceptions.NoSuchKey):
            stored.head_object("a.jpg")
        assert stored.head_object("a.jpg").status == 200


def test_a_status_has_any_code(stored: Any, faults: FaultClient) -> None:
    """An error that the stand-in has no other use for can be had by its code."""
    with faults.active(Fault("status", status=403, code="InvalidObjectState", times=None)):
        for call in (stored.get_object, stored.head_object):
            with pytest.raises(oss2.exceptions.ServerError) as caught:
                call("a.jpg")
            assert caught.value.code == "InvalidObjectState"


@pytest.mark.parametrize("after", [0, 100, None])
def test_a_truncated_body_is_short_under_a_full_length(stored: Any, faults: FaultClient, after: int | None) -> None:
    """The headers promise the whole body, part of it comes, and the connection is closed in good order."""
    with faults.active(Fault("truncate", key="a.jpg", after=after)):
        result = stored.get_object("a.jpg")
        assert result.content_length == len(BODY)
        body, error = read_until_it_breaks(result)
    assert body == BODY[: len(BODY) // 2 if after is None else after]
    assert isinstance(error, requests.exceptions.ChunkedEncodingError)  # urllib3 2 notices; 1.26 did not


def test_a_truncated_body_ends_without_a_reset(stored: Any, faults: FaultClient) -> None:
    """On the wire it is FIN, which ends the bytes, and nothing that a socket would call an error."""
    with faults.active(Fault("truncate", after=100)):
        assert raw_get(stored, "a.jpg").endswith(b"\r\n\r\n" + BODY[:100])


def test_a_reset_breaks_the_connection_off(stored: Any, faults: FaultClient) -> None:
    """In the middle of the body the connection is reset, which a socket reports as an error."""
    with faults.active(Fault("reset", key="a.jpg", after=100)):
        body, error = read_until_it_breaks(stored.get_object("a.jpg"))
        assert body == BODY[:100]
        assert isinstance(error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ConnectionError)
    with faults.active(Fault("reset", after=100)), pytest.raises(ConnectionResetError):
        raw_get(stored, "a.jpg")


@pytest.mark.parametrize("method", ["PUT", "HEAD", "DELETE"])
def test_a_reset_takes_the_place_of_other_operations(stored: Any, faults: FaultClient, method: str) -> None:
    """A method without a body to break is broken off before anything is done."""
    calls: dict[str, Callable[[], Any]] = {
        "PUT": lambda: stored.put_object("a.jpg", b"other"),
        "HEAD": lambda: stored.head_object("a.jpg"),
        "DELETE": lambda: stored.delete_object("a.jpg"),
    }
    with faults.active(Fault("reset", method=method)), pytest.raises(oss2.exceptions.RequestError):
        calls[method]()
    assert stored.get_object("a.jpg").read() == BODY


@pytest.mark.parametrize("after", [0, 5000, None, 10**9])
def test_a_corrupt_body_is_told_by_its_crc_alone(stored: Any, faults: FaultClient, after: int | None) -> None:
    """One byte differs, and nothing but the CRC says so."""
    good = stored.head_object("a.jpg")
    with faults.active(Fault("corrupt", key="a.jpg", after=after)):
        result = stored.get_object("a.jpg")
        body = result.read()
    offset = min(len(BODY) // 2 if after is None else after, len(BODY) - 1)
    assert [i for i in range(len(BODY)) if body[i] != BODY[i]] == [offset]
    assert (len(body), result.etag, result.status) == (len(BODY), good.etag, 200)
    assert str(result.server_crc) == good.headers["x-oss-hash-crc64ecma"]
    assert result.client_crc != result.server_crc


def test_a_stalled_body_stops_without_an_end(make_bucket: Callable[..., Any], stored: Any, faults: FaultClient) -> None:
    """Some bytes come, then nothing, until the client loses its patience."""
    assert stored.bucket_name == "pictures"
    with faults.active(Fault("stall", key="a.jpg", after=100)):
        body, error = read_until_it_breaks(make_bucket(timeout=0.2).get_object("a.jpg"))
    assert body == BODY[:100]
    assert isinstance(error, requests.exceptions.ConnectionError)
    assert "timed out" in str(error)


def test_a_stalled_put_is_not_answered(make_bucket: Callable[..., Any], stored: Any, faults: FaultClient) -> None:
    """A put can hang, too, and is not carried out."""
    with faults.active(Fault("stall", method="PUT")), pytest.raises(oss2.exceptions.RequestError, match="timed out"):
        make_bucket(timeout=0.2).put_object("a.jpg", b"other")
    assert stored.get_object("a.jpg").read() == BODY


def test_a_stalled_client_does_not_hold_up_the_others(stored: Any, faults: FaultClient) -> None:
    """While one download hangs, others go on; and the server stops in time although it does."""
    with faults.active(Fault("stall", key="a.jpg")):
        hanging = stored.get_object("a.jpg")
        assert stored.get_object("a.jpg").read() == BODY
        hanging.close()


def test_a_dripping_body_is_whole_but_slow(make_bucket: Callable[..., Any], stored: Any, faults: FaultClient) -> None:
    """A little comes at a time, so that no read of the client takes long, and all of it does."""
    assert stored.bucket_name == "pictures"
    with faults.active(Fault("drip", key="a.jpg", chunk=1024, interval=0.03)):
        began = time.monotonic()
        result = make_bucket(timeout=5.0).get_object("a.jpg")
        assert result.read() == BODY
        assert time.monotonic() - began >= 0.25  # nine times 0.03, between ten pieces
        assert result.client_crc == result.server_crc


def test_faults_wait_for_what_they_are_for(stored: Any, faults: FaultClient) -> None:
    """Other keys and methods, answers without a body, and requests that are not signed do not use a fault up."""
    stored.put_object("empty", b"")
    with faults.active(Fault("truncate", prefix="", times=1, skip=1), Fault("status", key="b.jpg")) as rule:
        assert stored.head_object("a.jpg").status == 200
        assert stored.get_object("empty").read() == b""
        with pytest.raises(oss2.exceptions.NoSuchKey):
            stored.get_object("c.jpg")
        assert requests.get(stored.endpoint + "/pictures/a.jpg", timeout=5).status_code == 403
        assert stored.get_object("a.jpg").read() == BODY
        assert faults.hits(rule) == 0
        with pytest.raises(requests.RequestException):
            stored.get_object("a.jpg").read()
        assert faults.hits(rule) == 1


def test_listings_break_like_objects(stored: Any, faults: FaultClient) -> None:
    """The bucket itself has the empty key, and what is true of a download is true of a listing."""
    with faults.active(Fault("status", key="", method="GET")):
        with pytest.raises(oss2.exceptions.ServerError):
            stored.list_objects_v2()
        assert len(stored.list_objects_v2().object_list) == 1
    with faults.active(Fault("truncate", key="")), pytest.raises(requests.RequestException):
        stored.list_objects_v2()


def test_rules_can_be_seen_and_ended(stored: Any, faults: FaultClient) -> None:
    """Rules are listed with what they did, and end one by one or all together."""
    first = faults.add(Fault("status", key="a.jpg", times=None, skip=1))
    second = faults.add(Fault("truncate", key="b.jpg"))
    stored.head_object("a.jpg")
    with pytest.raises(oss2.exceptions.ServerError):
        stored.head_object("a.jpg")
    assert [(rule.id, rule.fault, rule.seen, rule.hits) for rule in faults.rules()] == [
        (first.id, first.fault, 2, 1),
        (second.id, second.fault, 0, 0),
    ]
    faults.remove(first)
    assert stored.head_object("a.jpg").status == 200
    faults.clear()
    assert faults.rules() == []
    with pytest.raises(FaultClientError, match="NoSuchFault"):
        faults.remove(first)


def test_requests_are_counted(stored: Any, faults: FaultClient) -> None:
    """A test can say that an object was headed and not read."""
    stored.get_object("a.jpg").read()
    faults.forget_requests()
    stored.head_object("a.jpg")
    stored.head_object("a.jpg")
    stored.list_objects_v2()
    assert (faults.count("HEAD", "a.jpg"), faults.count("GET", "a.jpg"), faults.count("GET")) == (2, 0, 1)
    assert faults.requests() == [
        RequestCount("HEAD", "pictures", "a.jpg", 2),
        RequestCount("GET", "pictures", "", 1),
    ]


def test_the_control_api_refuses_nonsense(server: OssServer) -> None:
    """What is no fault, and what is no part of the API, is an error and changes nothing."""
    with closing(HTTPConnection(urlsplit(server.endpoint).netloc)) as connection:
        for method, path, body, status in [
            ("POST", "/_faults", "not json", 400),
            ("POST", "/_faults", '{"kind": "fire"}', 400),
            ("POST", "/_faults", "[]", 400),
            ("PUT", "/_faults", "", 501),
            ("DELETE", "/_faults/x", "", 404),
            ("POST", "/_requests", "", 501),
        ]:
            connection.request(method, path, body)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == status
    assert server.faults.rules() == []


def raw_get(bucket: Any, key: str) -> bytes:
    """What a socket receives for a download, to the end of the connection."""
    url = urlsplit(bucket.sign_url("GET", key, 60))
    with closing(socket.create_connection((url.hostname or "", url.port or 0), timeout=10)) as connection:
        connection.sendall(f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode())
        received = b""
        while piece := connection.recv(65536):
            received += piece
        return received
