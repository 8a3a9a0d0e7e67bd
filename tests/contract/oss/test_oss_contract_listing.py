"""Listings, as the SDKs page through them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree as ET

import alibabacloud_oss_v2 as oss_v2
import oss2
import pytest
import requests

from devstack.oss import Credentials, OssServer

KEYS = ["a.jpg", "b c/1.jpg", "b c/2.jpg", "b c/d+/3.jpg", "z&/<4>.jpg", "猫/5.jpg", "😀"]


@pytest.fixture
def stored(bucket: Any) -> Any:
    """A bucket with a few objects."""
    for key in reversed(KEYS):
        bucket.put_object(key, key.encode())
    return bucket


def names(entries: Any) -> list[str]:
    """The keys and common prefixes that an iterator yields."""
    return [entry.key for entry in entries]


@pytest.mark.parametrize("max_keys", [1, 2, 3, 100])
@pytest.mark.parametrize("iterator", [oss2.ObjectIterator, oss2.ObjectIteratorV2])
def test_pages_make_up_the_bucket(stored: Any, iterator: Any, max_keys: int) -> None:
    """Both versions of the listing, whatever the size of a page, yield each key once, in order."""
    assert names(iterator(stored, max_keys=max_keys)) == KEYS


@pytest.mark.parametrize("max_keys", [1, 2, 100])
@pytest.mark.parametrize("iterator", [oss2.ObjectIterator, oss2.ObjectIteratorV2])
def test_a_delimiter_makes_folders(stored: Any, iterator: Any, max_keys: int) -> None:
    """Keys with the delimiter are rolled up to common prefixes, at the top and below a prefix."""
    entries = list(iterator(stored, delimiter="/", max_keys=max_keys))
    assert [(entry.key, entry.is_prefix()) for entry in entries] == [
        ("a.jpg", False),
        ("b c/", True),
        ("z&/", True),
        ("猫/", True),
        ("😀", False),
    ]
    below = names(iterator(stored, prefix="b c/", delimiter="/", max_keys=max_keys))
    assert below == ["b c/1.jpg", "b c/2.jpg", "b c/d+/"]


@pytest.mark.parametrize(
    ("iterator", "start"), [(oss2.ObjectIterator, "marker"), (oss2.ObjectIteratorV2, "start_after")]
)
def test_a_listing_starts_after_a_key(stored: Any, iterator: Any, start: str) -> None:
    """A listing starts behind the key that it is given, which need not exist."""
    assert names(iterator(stored, **{start: "b c/2.jpg"})) == KEYS[3:]
    assert names(iterator(stored, prefix="b", **{start: "b c/"})) == KEYS[1:4]
    assert names(iterator(stored, **{start: "\U0010ffff"})) == []


def test_an_entry_tells_what_head_tells(stored: Any) -> None:
    """Size, ETag and time of an entry are those of the object; the owner comes when it is asked for."""
    (entry,) = stored.list_objects_v2(prefix="a").object_list
    head = stored.head_object("a.jpg")
    assert (entry.size, entry.etag, entry.last_modified) == (head.content_length, head.etag, head.last_modified)
    assert (entry.type, entry.storage_class, entry.owner) == ("Normal", "Standard", None)
    assert stored.list_objects_v2(fetch_owner=True).object_list[0].owner.id
    assert stored.list_objects().object_list[0].owner.id


def test_a_listing_without_encoding_is_plain(stored: Any) -> None:
    """Without encoding-type keys are as they are, escaped for XML and no more."""
    result = stored.list_objects_v2(encoding_type="", prefix="z")
    assert [entry.key for entry in result.object_list] == ["z&/<4>.jpg"]


@pytest.mark.parametrize("version", ["v1", "v4"])
def test_the_other_sdk_pages_too(server: OssServer, stored: Any, http: requests.Session, version: str) -> None:
    """alibabacloud-oss-v2 reads the same pages, of both versions of the listing."""
    assert stored.bucket_name == "pictures"
    config = oss_v2.config.load_default()
    config.credentials_provider = oss_v2.credentials.StaticCredentialsProvider("test-key-id", "test-key-secret")
    config.region, config.endpoint, config.signature_version = "cn-hangzhou", server.endpoint, version
    config.http_client = oss_v2.transport.RequestsHttpClient(session=http)
    client = oss_v2.Client(config)
    paginators: list[tuple[Any, Any]] = [
        (client.list_objects_paginator(), oss_v2.ListObjectsRequest),
        (client.list_objects_v2_paginator(), oss_v2.ListObjectsV2Request),
    ]
    for paginator, kind in paginators:
        pages = list(paginator.iter_page(kind(bucket="pictures", max_keys=3)))
        assert [entry.key for page in pages for entry in page.contents] == KEYS
        assert [page.is_truncated for page in pages] == [True, True, False]
        (page,) = paginator.iter_page(kind(bucket="pictures", delimiter="/", prefix="b c/"))
        assert [entry.prefix for entry in page.common_prefixes] == ["b c/d+/"]
        assert page.prefix == "b c/"


def test_pages_hold_when_objects_come_and_go(stored: Any) -> None:
    """A deleted key does not stop a listing that stands on it, and what is put behind it is found."""
    first = stored.list_objects_v2(max_keys=2)
    stored.delete_object("b c/1.jpg")
    stored.put_object("zz", b"")
    rest = stored.list_objects_v2(continuation_token=first.next_continuation_token)
    assert [entry.key for entry in rest.object_list] == [*KEYS[2:5], "zz", *KEYS[5:]]


def test_a_quiet_delete_says_nothing(server: OssServer, stored: Any, http: requests.Session) -> None:
    """In quiet mode an answer without errors has no body; the objects are gone all the same."""
    body = b"<Delete><Quiet>true</Quiet><Object><Key>a.jpg</Key></Object></Delete>"
    with signed(stored, "POST", params={"delete": ""}, data=body) as request:
        answer = http.post(f"{server.endpoint}/pictures/?delete", data=body, headers=request.headers)
    assert (answer.status_code, answer.content) == (200, b"")
    assert not stored.object_exists("a.jpg")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Delete>",
        b"<Other><Object><Key>a.jpg</Key></Object></Other>",
        b"<Delete></Delete>",
        b"<Delete><Object><Key></Key></Object></Delete>",
        b"<Delete>" + b"<Object><Key>a</Key></Object>" * 1001 + b"</Delete>",
        b"<Delete>" + b" " * (2 * 1024 * 1024) + b"</Delete>",
    ],
    ids=["empty", "cut off", "another document", "no key", "an empty key", "too many", "too large"],
)
def test_a_delete_that_is_none_is_refused(server: OssServer, stored: Any, http: requests.Session, body: bytes) -> None:
    """A body that is not a Delete document of 1 to 1,000 keys answers 400 MalformedXML, and deletes nothing."""
    with signed(stored, "POST", params={"delete": ""}, data=body) as request:
        answer = http.post(f"{server.endpoint}/pictures/?delete", data=body, headers=request.headers)
    assert answer.status_code == 400
    assert ET.fromstring(answer.content).findtext("Code") == "MalformedXML"  # noqa: S314 - from our own server
    assert stored.object_exists("a.jpg")


@pytest.mark.parametrize("max_keys", [0, -1, 1001, "many", "9" * 30])
def test_a_page_has_one_to_a_thousand_entries(stored: Any, max_keys: int | str) -> None:
    """Another number of entries answers 400 InvalidArgument."""
    with pytest.raises(oss2.exceptions.InvalidArgument):
        stored.list_objects_v2(max_keys=max_keys)


def test_a_token_of_somebody_else_is_refused(stored: Any) -> None:
    """A continuation token that the server did not give answers 400 InvalidArgument."""
    with pytest.raises(oss2.exceptions.InvalidArgument):
        stored.list_objects_v2(continuation_token="!")  # noqa: S106 - no password


def test_the_bucket_tells_of_itself(stored: Any, server: OssServer) -> None:
    """GetBucketInfo gives name, place and endpoint of the bucket."""
    info = stored.get_bucket_info()
    assert (info.name, info.location, info.acl.grant) == ("pictures", "oss-cn-hangzhou", "private")
    assert f"http://{info.extranet_endpoint}" == server.endpoint


def test_buckets_are_apart(make_server: Callable[..., OssServer], make_session: Callable[[], Any]) -> None:
    """A server of two buckets lists each of them alone."""
    credentials = Credentials("ak", "sk")
    with make_server(buckets=["one-bucket", "two-bucket"], credentials=credentials) as server:
        one, two = (
            oss2.Bucket(oss2.AuthV4("ak", "sk"), server.endpoint, name, session=make_session(), region="cn-hangzhou")
            for name in ("one-bucket", "two-bucket")
        )
        one.put_object("a", b"")
        two.put_object("b", b"")
        assert names(oss2.ObjectIteratorV2(one)) == ["a"]
        assert names(oss2.ObjectIteratorV2(two)) == ["b"]


@contextmanager
def signed(bucket: Any, method: str, **arguments: Any) -> Iterator[Any]:
    """A request for the bucket as oss2 would sign it, to be sent by other means."""
    request = oss2.http.Request(method, "http://unused", region="cn-hangzhou", product="oss", **arguments)
    bucket.auth._sign_request(request, bucket.bucket_name, "")  # noqa: SLF001 - the SDK offers no other way
    yield request
