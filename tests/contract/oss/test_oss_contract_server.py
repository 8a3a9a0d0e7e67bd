"""The server as a whole: addressing, restarts, concurrency, and the end."""

import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import oss2
import pytest
import requests

from devstack.oss import Credentials, Fault, OssServer, StorageError
from devstack.oss.storage import Storage


def test_objects_outlive_the_server(
    make_server: Callable[..., OssServer], make_session: Callable[[], Any], tmp_path: Path
) -> None:
    """A server that is stopped and started again, on the same port, has its objects, as they were."""
    port = 0
    heads = []
    for run in range(2):
        with make_server(port=port) as server:
            port = urlsplit(server.endpoint).port or 0
            auth = oss2.AuthV4("test-key-id", "test-key-secret")
            bucket = oss2.Bucket(auth, server.endpoint, "pictures", session=make_session(), region="cn-hangzhou")
            if run == 0:
                bucket.put_object("a b/猫.jpg", b"body", headers={"x-oss-meta-author": "someone"})
            assert bucket.get_object("a b/猫.jpg").read() == b"body"
            assert [entry.key for entry in oss2.ObjectIteratorV2(bucket)] == ["a b/猫.jpg"]
            headers = dict(bucket.head_object("a b/猫.jpg").headers)
            heads.append({name: value for name, value in headers.items() if name not in {"Date", "x-oss-request-id"}})
    assert heads[0] == heads[1]
    assert heads[0]["x-oss-meta-author"] == "someone"
    assert len(list((tmp_path / "oss" / "bodies").glob("*/*"))) == 1


def test_buckets_can_be_host_names(server: OssServer, make_bucket: Callable[..., Any]) -> None:
    """With OSS's own endpoint, which the server stands in for as a proxy, oss2 puts the bucket into the host."""
    for auth in (oss2.Auth, oss2.AuthV4):
        bucket = make_bucket(auth, endpoint="http://oss-cn-hangzhou.aliyuncs.com", proxies={"http": server.endpoint})
        for key in ("a b/猫.jpg", "_faults"):
            bucket.put_object(key, b"body")
            assert bucket.get_object(key).read() == b"body"
        assert [entry.key for entry in bucket.list_objects_v2().object_list] == ["_faults", "a b/猫.jpg"]
        assert bucket.get_bucket_info().extranet_endpoint == "oss-cn-hangzhou.aliyuncs.com"
    assert server.faults.count("PUT", "a b/猫.jpg") == 2


def test_a_host_name_can_be_path_style(server: OssServer, make_bucket: Callable[..., Any]) -> None:
    """A client that was told to use path style under a name gets what it asks for."""
    bucket = make_bucket(endpoint="http://oss:9000", is_path_style=True, proxies={"http": server.endpoint})
    bucket.put_object("a.jpg", b"body")
    assert bucket.get_object("a.jpg").read() == b"body"


def test_other_domains_can_have_buckets(make_server: Callable[..., OssServer], make_session: Callable[[], Any]) -> None:
    """A domain from the configuration addresses buckets like OSS's own."""
    with make_server(domains=["OSS.test"]) as server:
        auth = oss2.AuthV4("test-key-id", "test-key-secret")
        proxies = {"http": server.endpoint}
        bucket = oss2.Bucket(
            auth, "http://oss.test", "pictures", session=make_session(), region="cn-hangzhou", proxies=proxies
        )
        bucket.put_object("a.jpg", b"body")
        assert bucket.get_object("a.jpg").read() == b"body"


def test_concurrent_puts_of_one_key_never_mix(bucket: Any) -> None:
    """While many threads replace an object, every read has the bytes, the CRC and the ETag of one of the puts."""
    bodies = {oss2.utils.md5_string(body).upper(): body for body in (bytes([i]) * (20_000 + i) for i in range(8))}

    def put_and_get(body: bytes) -> None:
        for _ in range(10):
            bucket.put_object("a.jpg", body)
            result = bucket.get_object("a.jpg")
            assert result.read() == bodies[result.etag]
            assert result.client_crc == result.server_crc

    with ThreadPoolExecutor(8) as pool:
        for done in pool.map(put_and_get, bodies.values()):
            assert done is None
    assert bucket.get_object("a.jpg").etag in bodies


def test_concurrent_puts_of_many_keys_are_all_there(bucket: Any, tmp_path: Path) -> None:
    """Objects that were put at the same time are all listed, one file each."""
    keys = [f"{number:03}" for number in range(100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: bucket.put_object(key, key.encode()), keys))
    assert [entry.key for entry in oss2.ObjectIteratorV2(bucket)] == keys
    assert len(list((tmp_path / "oss" / "bodies").glob("*/*"))) == 100


def test_a_stop_does_not_wait_for_stalled_clients(
    make_server: Callable[..., OssServer], make_session: Callable[[], Any]
) -> None:
    """With downloads that hang, drip and idle, the server is gone long before they are."""
    with make_server() as server, ExitStack() as clients:
        auth = oss2.AuthV4("test-key-id", "test-key-secret")
        bucket = oss2.Bucket(auth, server.endpoint, "pictures", session=make_session(), region="cn-hangzhou")
        bucket.put_object("a.jpg", b"body" * 10_000)
        server.faults.add(Fault("stall", key="a.jpg", times=3))
        server.faults.add(Fault("drip", key="a.jpg", interval=60.0))
        downloads = [clients.enter_context(closing(bucket.get_object("a.jpg").resp.response)) for _ in range(4)]
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 30
        with pytest.raises(requests.RequestException):
            downloads[0].content  # noqa: B018 - reads the body
        with pytest.raises(oss2.exceptions.RequestError):
            bucket.head_object("a.jpg")


def test_a_folder_or_port_that_is_taken_is_told(
    make_server: Callable[..., OssServer], free_port: int, tmp_path: Path
) -> None:
    """A second server on the same folder or port fails when it is started, and can be started later."""
    second = make_server()
    elsewhere = OssServer(tmp_path / "2", buckets=["pictures"], credentials=Credentials("ak", "sk"), port=free_port)
    with make_server(port=free_port):
        with pytest.raises(StorageError, match="another server"):
            second.start()
        with pytest.raises(OSError, match="address already in use"):
            elsewhere.start()
    with second, elsewhere:
        assert elsewhere.endpoint.endswith(f":{free_port}")


def test_a_server_that_is_not_running_has_no_endpoint(make_server: Callable[..., OssServer]) -> None:
    """Before the start and after the stop there is nothing to connect to; to start twice is an error."""
    server = make_server()
    server.stop()
    with pytest.raises(RuntimeError, match="not running"):
        str(server.endpoint)
    with server, pytest.raises(RuntimeError, match="running already"):
        server.start()
    with pytest.raises(RuntimeError, match="not running"):
        server.faults.clear()


def test_a_hundred_thousand_objects_can_be_listed(
    make_server: Callable[..., OssServer], make_session: Callable[[], Any], tmp_path: Path
) -> None:
    """Pages of a large bucket are right, with and without a delimiter, wherever they are."""
    fill(tmp_path / "oss", 100_000)
    with make_server() as server:
        auth = oss2.AuthV4("test-key-id", "test-key-secret")
        bucket = oss2.Bucket(auth, server.endpoint, "pictures", session=make_session(), region="cn-hangzhou")
        first = bucket.list_objects_v2(max_keys=1000)
        last = bucket.list_objects_v2(start_after="099/99", max_keys=1000)
        folders = bucket.list_objects_v2(delimiter="/", max_keys=1000)
    assert (len(first.object_list), first.is_truncated) == (1000, True)
    assert [entry.key for entry in last.object_list] == [f"099/99{i}" for i in range(10)]
    assert folders.prefix_list == [f"{number:03}/" for number in range(100)]


def fill(folder: Path, count: int) -> None:
    """Write an index of many objects, without their bodies."""
    with closing(Storage(folder, ["pictures"], 0.0)):
        pass
    rows = ((f"{i // 1000:03}/{i % 1000}".encode(), str(i)) for i in range(count))
    with closing(sqlite3.connect(folder / "index.sqlite3")) as database, database:
        database.executemany("INSERT INTO objects VALUES ('pictures', ?, ?, 0, '', '0', 0, '{}')", rows)
