"""Objects, through two independent SDKs with both versions of the signature."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import alibabacloud_oss_v2 as oss_v2
import oss2
import pytest
import requests
from alibabacloud_oss_v2.transport import RequestsHttpClient
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from devstack.oss import OssServer

BODY = bytes(range(256)) * 40
# What people, tools and attackers call their objects.
STRANGE_KEYS = [
    "a.jpg",
    "2024/01/a b.jpg",
    "plus+and%percent%2F.jpg",
    "猫/ねこ/😀.png",
    "a?b&c=d#e",
    "~-_.!*'();:@,[]",
    "a//b",
    "tab\tline\nreturn\r.jpg",
    "nul\x00.jpg",
    "trailing/",
    " leading and trailing ",
    "x" * 1023,
    "%2e%2e%2f",
    '"quotes" <&>',
]


class Client(ABC):
    """What the contract needs of an SDK."""

    @abstractmethod
    def put(self, key: str, body: bytes, **metadata: str) -> dict[str, Any]:
        """Put an object; the ETag and the CRC that came back."""

    @abstractmethod
    def get(self, key: str) -> bytes:
        """The bytes of an object, their CRC checked."""

    @abstractmethod
    def head(self, key: str) -> dict[str, str]:
        """The headers of an object, by lower-case name."""

    @abstractmethod
    def delete(self, key: str) -> int:
        """Delete an object; the status."""

    @abstractmethod
    def delete_many(self, keys: list[str]) -> list[str]:
        """Delete objects; the keys that the answer names."""

    @abstractmethod
    def presign(self, method: str, key: str) -> str:
        """A URL that is good for a minute."""

    @abstractmethod
    def error_code(self, call: Callable[[], Any]) -> str:
        """The OSS code of the error that a call fails with."""


class Oss2(Client):
    """The SDK that the workers use."""

    def __init__(self, bucket: Any) -> None:
        self._bucket = bucket

    def put(self, key: str, body: bytes, **metadata: str) -> dict[str, Any]:
        """Put, which compares the CRC itself."""
        headers = {f"x-oss-meta-{name}": value for name, value in metadata.items()}
        result = self._bucket.put_object(key, body, headers=headers)
        return {"etag": result.etag, "crc": str(result.crc)}

    def get(self, key: str) -> bytes:
        """Get, and compare the CRC, which oss2 leaves to its user."""
        result = self._bucket.get_object(key)
        body = result.read()
        assert result.client_crc == result.server_crc
        return bytes(body)

    def head(self, key: str) -> dict[str, str]:
        """Head."""
        return {name.lower(): value for name, value in self._bucket.head_object(key).headers.items()}

    def delete(self, key: str) -> int:
        """Delete."""
        return int(self._bucket.delete_object(key).status)

    def delete_many(self, keys: list[str]) -> list[str]:
        """Delete several; this SDK always asks for names."""
        return list(self._bucket.batch_delete_objects(keys).deleted_keys)

    def presign(self, method: str, key: str) -> str:
        """Presign."""
        return str(self._bucket.sign_url(method, key, 60))

    def error_code(self, call: Callable[[], Any]) -> str:
        """All errors of OSS are of one class."""
        with pytest.raises(oss2.exceptions.ServerError) as caught:
            call()
        assert caught.value.request_id
        return str(caught.value.code)


class OssV2(Client):
    """The other SDK, which shares no code with the first."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def put(self, key: str, body: bytes, **metadata: str) -> dict[str, Any]:
        """Put, which compares the CRC itself."""
        request = oss_v2.PutObjectRequest(bucket="pictures", key=key, body=body, metadata=metadata)
        result = self._client.put_object(request)
        return {"etag": result.etag.strip('"'), "crc": str(result.hash_crc64)}

    def get(self, key: str) -> bytes:
        """Get."""
        result = self._client.get_object(oss_v2.GetObjectRequest(bucket="pictures", key=key))
        with result.body as stream:
            body = bytes(stream.read())
        crc = oss2.utils.Crc64()
        crc.update(body)
        assert str(crc.crc) == str(result.hash_crc64)
        return body

    def head(self, key: str) -> dict[str, str]:
        """Head."""
        result = self._client.head_object(oss_v2.HeadObjectRequest(bucket="pictures", key=key))
        return {name.lower(): value for name, value in result.headers.items()}

    def delete(self, key: str) -> int:
        """Delete."""
        return int(self._client.delete_object(oss_v2.DeleteObjectRequest(bucket="pictures", key=key)).status_code)

    def delete_many(self, keys: list[str]) -> list[str]:
        """Delete several."""
        objects = [oss_v2.DeleteObject(key=key) for key in keys]
        request = oss_v2.DeleteMultipleObjectsRequest(bucket="pictures", encoding_type="url", objects=objects)
        return [deleted.key for deleted in self._client.delete_multiple_objects(request).deleted_objects]

    def presign(self, method: str, key: str) -> str:
        """Presign."""
        kind = {"GET": oss_v2.GetObjectRequest, "HEAD": oss_v2.HeadObjectRequest, "PUT": oss_v2.PutObjectRequest}
        request = kind[method](bucket="pictures", key=key)
        return str(self._client.presign(request, expires=timedelta(seconds=60)).url)

    def error_code(self, call: Callable[[], Any]) -> str:
        """The error of OSS is inside of one of the operation."""
        with pytest.raises(oss_v2.exceptions.OperationError) as caught:
            call()
        error = caught.value.unwrap()
        assert isinstance(error, oss_v2.exceptions.ServiceError)
        assert error.request_id
        return str(error.code)


@pytest.fixture(params=["oss2 V4", "oss2 V1", "oss_v2 V4", "oss_v2 V1"])
def client(
    request: pytest.FixtureRequest, server: OssServer, make_bucket: Callable[..., Any], http: requests.Session
) -> Client:
    """Each SDK with each version of the signature."""
    sdk, version = request.param.split()
    if sdk == "oss2":
        return Oss2(make_bucket({"V1": oss2.Auth, "V4": oss2.AuthV4}[version]))
    config = oss_v2.config.load_default()
    config.credentials_provider = oss_v2.credentials.StaticCredentialsProvider("test-key-id", "test-key-secret")
    config.region = "cn-hangzhou"
    config.endpoint = server.endpoint
    config.signature_version = version.lower()
    config.retry_max_attempts = 1
    config.http_client = RequestsHttpClient(session=http)
    return OssV2(oss_v2.Client(config))


@pytest.mark.parametrize("key", STRANGE_KEYS, ids=ascii)
def test_any_key_comes_back(client: Client, key: str) -> None:
    """An object of any key is put, read, headed and deleted, and is then gone."""
    client.put(key, BODY)
    assert client.get(key) == BODY
    assert client.head(key)["content-length"] == str(len(BODY))
    assert client.delete(key) == HTTPStatus.NO_CONTENT
    assert client.error_code(lambda: client.get(key)) == "NoSuchKey"


@given(key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40), body=st.binary(max_size=100))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_key_and_body_come_back(client: Client, key: str, body: bytes) -> None:
    """The same, for keys and bodies that nobody thought of."""
    assume(bool(key.strip()) and key[0] not in "/\\?" and not {".", ".."} & set(key.split("/")))
    client.put(key, body)
    assert client.get(key) == body
    assert client.delete(key) == HTTPStatus.NO_CONTENT
    assert client.error_code(lambda: client.head(key)) == "NoSuchKey"


def test_checksums_are_those_of_the_body(client: Client) -> None:
    """The ETag is the MD5 in upper case, the CRC is CRC-64 in decimal, and put, head and get agree on both."""
    put = client.put("a.jpg", b"123456789")
    head = client.head("a.jpg")
    assert put == {"etag": "25F9E794323B453885F5181F1B624D0B", "crc": str(0x995DC9BBDF1939FA)}
    assert head["etag"] == '"25F9E794323B453885F5181F1B624D0B"'
    assert head["x-oss-hash-crc64ecma"] == put["crc"]


def test_metadata_and_type_come_back(client: Client) -> None:
    """User metadata is kept, the type follows from the key, and the answer says that the object is a plain one."""
    client.put("a.jpg", BODY, author="someone", title="a cat")
    head = client.head("a.jpg")
    assert (head["x-oss-meta-author"], head["x-oss-meta-title"]) == ("someone", "a cat")
    assert head["content-type"] in {"image/jpeg", "application/octet-stream"}
    assert (head["x-oss-object-type"], head["x-oss-storage-class"]) == ("Normal", "Standard")
    assert len(head["x-oss-request-id"]) == 24


def test_a_put_replaces_the_object_whole(client: Client) -> None:
    """A second put of a key leaves nothing of the first, metadata included."""
    client.put("a.jpg", BODY, author="someone")
    client.put("a.jpg", b"short")
    assert client.get("a.jpg") == b"short"
    assert "x-oss-meta-author" not in client.head("a.jpg")


def test_an_empty_object_is_one(client: Client) -> None:
    """An object of no bytes exists."""
    client.put("empty", b"")
    assert client.get("empty") == b""
    assert client.head("empty")["content-length"] == "0"


def test_many_objects_are_deleted_at_once(client: Client) -> None:
    """DeleteMultipleObjects deletes what is there and names all keys, those that were not there too."""
    keys = ["a b", "c+d/e", "猫", '"<&>"']
    for key in keys:
        client.put(key, b"x")
    assert client.delete_many([*keys, "not there"]) == [*keys, "not there"]
    assert client.error_code(lambda: client.get("猫")) == "NoSuchKey"


def test_an_error_to_head_is_told_by_its_code(client: Client) -> None:
    """HEAD of what is not there is NoSuchKey, though the answer has no body."""
    assert client.error_code(lambda: client.head("nope")) == "NoSuchKey"


@pytest.mark.parametrize("key", ["a.jpg", "a b+c/猫.jpg"])
def test_presigned_urls_work_without_credentials(client: Client, http: requests.Session, key: str) -> None:
    """A URL lets anybody put and get one object, with the method that it is for and no other."""
    url = client.presign("PUT", key)
    # alibabacloud-oss-v2 signs no type for a put by URL, so none may be sent.
    assert http.put(url, data=BODY).status_code == HTTPStatus.OK
    assert http.get(client.presign("GET", key)).content == BODY
    assert http.head(client.presign("HEAD", key)).headers["Content-Length"] == str(len(BODY))
    assert http.delete(client.presign("GET", key)).status_code == HTTPStatus.FORBIDDEN
    assert client.get(key) == BODY
