"""What a client that is set up wrongly hears, and what the stand-in refuses."""

import socket
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import oss2
import pytest
import requests

from devstack.oss import Credentials, OssServer

VERSIONS = pytest.mark.parametrize("auth", [oss2.Auth, oss2.AuthV4])


def code_of(answer: requests.Response) -> str | None:
    """The code in an error document."""
    return ET.fromstring(answer.content).findtext("Code")  # noqa: S314 - from our own server


@VERSIONS
def test_a_wrong_secret_is_told(make_bucket: Callable[..., Any], auth: type) -> None:
    """A wrong secret is SignatureDoesNotMatch, for GET and for HEAD, and the error helps to find out why."""
    bucket = make_bucket(auth, secret="wrong")  # noqa: S106 - wrong on purpose
    with pytest.raises(oss2.exceptions.SignatureDoesNotMatch) as caught:
        bucket.get_object("a.jpg")
    assert caught.value.status == 403
    assert "/pictures/a.jpg" in caught.value.details.get("CanonicalRequest", caught.value.details["StringToSign"])
    with pytest.raises(oss2.exceptions.SignatureDoesNotMatch):
        bucket.head_object("a.jpg")


@VERSIONS
def test_an_unknown_key_id_is_told(make_bucket: Callable[..., Any], auth: type) -> None:
    """A key id that nobody has is InvalidAccessKeyId."""
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        make_bucket(auth, key_id="nobody").get_object("a.jpg")
    assert (caught.value.status, caught.value.code) == (403, "InvalidAccessKeyId")


@VERSIONS
def test_a_wrong_bucket_is_told(make_bucket: Callable[..., Any], auth: type) -> None:
    """A bucket that the server does not have is NoSuchBucket, for each operation."""
    bucket = make_bucket(auth, name="nowhere")
    for call in (
        lambda: bucket.get_object("a.jpg"),
        lambda: bucket.head_object("a.jpg"),
        lambda: bucket.put_object("a.jpg", b""),
        bucket.list_objects_v2,
    ):
        with pytest.raises(oss2.exceptions.NoSuchBucket):
            call()


@VERSIONS
@pytest.mark.parametrize("shift", [-1000, 1000])
def test_a_wrong_clock_is_told(make_bucket: Callable[..., Any], clock: Any, auth: type, shift: int) -> None:
    """A client whose clock is 1,000 seconds off hears RequestTimeTooSkewed, and both times."""
    clock.shift = shift
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        make_bucket(auth).get_object("a.jpg")
    assert (caught.value.status, caught.value.code) == (403, "RequestTimeTooSkewed")
    assert caught.value.details["RequestTime"] != caught.value.details["ServerTime"]


@VERSIONS
def test_a_url_is_good_for_its_time(
    make_bucket: Callable[..., Any], clock: Any, http: requests.Session, auth: type
) -> None:
    """A presigned URL works until it expires, and says then that it has."""
    bucket = make_bucket(auth)
    bucket.put_object("a.jpg", b"body")
    url = bucket.sign_url("GET", "a.jpg", 60)
    clock.shift = 30
    assert http.get(url).content == b"body"
    clock.shift = 90
    answer = http.get(url)
    assert (answer.status_code, code_of(answer)) == (403, "AccessDenied")
    assert b"Request has expired." in answer.content


def test_a_wrong_region_is_told(make_bucket: Callable[..., Any]) -> None:
    """A V4 signature for another region is 400 InvalidArgument, as OSS has it."""
    with pytest.raises(oss2.exceptions.InvalidArgument, match="Invalid signing region"):
        make_bucket(region="cn-beijing").get_object("a.jpg")


def test_nothing_is_for_strangers(server: OssServer, http: requests.Session) -> None:
    """Without a signature every operation is AccessDenied, and so is finding out which buckets there are."""
    for path in ("/pictures/a.jpg", "/pictures/", "/nowhere/a.jpg", "/"):
        answer = http.get(server.endpoint + path)
        assert (answer.status_code, code_of(answer)) == (403, "AccessDenied")
        assert answer.headers["x-oss-request-id"]


def test_a_token_is_asked_for(make_server: Callable[..., OssServer], make_session: Callable[[], Any]) -> None:
    """A server of temporary credentials takes the right token, and no request without it."""
    with make_server(credentials=Credentials("ak", "sk", "token")) as server:
        for auth, allowed in [
            (oss2.StsAuth("ak", "sk", "token"), True),
            (oss2.StsAuth("ak", "sk", "token", "v4"), True),
            (oss2.StsAuth("ak", "sk", "other", "v4"), False),
            (oss2.AuthV4("ak", "sk"), False),
        ]:
            bucket = oss2.Bucket(auth, server.endpoint, "pictures", session=make_session(), region="cn-hangzhou")
            if allowed:
                bucket.put_object("a.jpg", b"")
            else:
                with pytest.raises(oss2.exceptions.ServerError) as caught:
                    bucket.put_object("a.jpg", b"")
                assert caught.value.code == "InvalidSecurityToken"


@pytest.mark.parametrize(
    "call",
    [
        lambda bucket: bucket.get_object_acl("a.jpg"),
        lambda bucket: bucket.put_object("a.jpg", b"", headers={"x-oss-storage-class": "IA"}),
        lambda bucket: bucket.put_object("a.jpg", b"", headers={"x-oss-callback": "e30="}),
        lambda bucket: bucket.copy_object("pictures", "a.jpg", "b.jpg"),
        lambda bucket: bucket.init_multipart_upload("a.jpg"),
        lambda bucket: bucket.append_object("a.jpg", 0, b""),
        lambda bucket: bucket.get_object("a.jpg", process="image/resize,w_100"),
        lambda bucket: bucket.get_object("a.jpg", params={"versionId": "1"}),
        lambda bucket: bucket.create_bucket(),
        lambda bucket: bucket.get_bucket_stat(),
        lambda bucket: oss2.Service(
            bucket.auth, bucket.endpoint, session=bucket.session, region="cn-hangzhou"
        ).list_buckets(),
    ],
)
@VERSIONS
def test_what_is_not_there_says_so(make_bucket: Callable[..., Any], auth: type, call: Callable[[Any], Any]) -> None:
    """An operation that the stand-in lacks is 501 NotImplemented, not something that looks like success."""
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        call(make_bucket(auth))
    assert (caught.value.status, caught.value.code) == (501, "NotImplemented")


@pytest.mark.parametrize("key", ["/a", "\\a", "a" * 1024])
def test_a_key_that_oss_would_not_take_is_refused(bucket: Any, key: str) -> None:
    """A key that is too long or starts with a slash is InvalidObjectName."""
    with pytest.raises(oss2.exceptions.InvalidObjectName):
        bucket.put_object(key, b"")


def test_metadata_is_utf_8(server: OssServer, bucket: Any) -> None:
    """A header in another encoding, which could not be given back, refuses the put."""
    request = oss2.http.Request("PUT", "http://unused", region="cn-hangzhou", product="oss")
    bucket.auth._sign_request(request, "pictures", "a.jpg")  # noqa: SLF001 - the SDK would not send such a header
    with closing(HTTPConnection(urlsplit(server.endpoint).netloc)) as connection:
        connection.putrequest("PUT", "/pictures/a.jpg")
        for name, value in request.headers.items():
            connection.putheader(name, value or "identity")
        connection.putheader("Content-Disposition", b"caf\xe9")
        connection.endheaders()
        answer = connection.getresponse()
        assert (answer.status, b"<Code>InvalidArgument</Code>" in answer.read()) == (400, True)


def test_a_body_that_breaks_off_is_no_object(server: OssServer, bucket: Any) -> None:
    """A put whose client goes away in the middle of the body changes nothing."""
    bucket.put_object("a.jpg", b"one")
    url = urlsplit(bucket.sign_url("PUT", "a.jpg", 60))
    with closing(socket.create_connection((url.hostname or "", url.port or 0))) as connection:
        head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: 1000\r\n\r\n"
        connection.sendall(head.encode() + b"half")
    assert bucket.get_object("a.jpg").read() == b"one"
    assert server.faults.count("PUT", "a.jpg") >= 1


def test_a_client_that_waits_to_be_asked_is_asked(server: OssServer, bucket: Any) -> None:
    """With Expect: 100-continue the body is asked for, when the signature was right, and not when it was wrong."""
    url = urlsplit(bucket.sign_url("PUT", "a.jpg", 60))
    for query, answers in [(url.query, b"HTTP/1.1 100 Continue\r\n\r\n"), ("", b"HTTP/1.1 403 Forbidden\r\n")]:
        with closing(socket.create_connection((url.hostname or "", url.port or 0), timeout=10)) as connection:
            head = f"PUT {url.path}?{query} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: 4\r\n"
            connection.sendall(head.encode() + b"Expect: 100-continue\r\n\r\n")
            assert connection.recv(len(answers), socket.MSG_WAITALL) == answers
            if query:
                connection.sendall(b"body")
                assert connection.recv(15, socket.MSG_WAITALL) == b"HTTP/1.1 200 OK"
    assert bucket.get_object("a.jpg").read() == b"body"
    assert server.faults.count("PUT") == 2


def test_no_secret_is_logged(
    make_bucket: Callable[..., Any], http: requests.Session, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    """Whatever happens, neither secrets nor signatures are in the logs of the server."""
    bucket = make_bucket()
    bucket.put_object("a.jpg", b"body")
    url = bucket.sign_url("GET", "a.jpg", 60)
    http.get(url)
    with pytest.raises(oss2.exceptions.ServerError):
        make_bucket(secret="wrong").get_object("a.jpg")  # noqa: S106 - wrong on purpose
    output = "".join(capfd.readouterr())
    logged = [record.getMessage() for record in caplog.records if record.name.startswith(("devstack", "aiohttp"))]
    assert (logged, output) == ([], "")
