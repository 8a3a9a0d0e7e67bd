"""Reading objects: whole, checked, in time, or a typed error."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from oss2.utils import Crc64

from devstack.oss import Credentials, Fault, OssServer
from worker.adapters.oss import OssObjectStore
from worker.core.errors import Misconfigured, NotReadable, ObjectMissing, TooLarge, Transient
from worker.settings import WorkerSettings

BODY = bytes(range(256)) * 400
KEY = "图片/a b+c%d/é.jpg"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OssServer]:
    """OSS, with one bucket."""
    with OssServer(tmp_path, buckets=["pictures"], credentials=Credentials("id", "secret")) as server:
        yield server


@pytest.fixture
def environment(server: OssServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker's environment. Only OSS is used."""
    for name, value in {
        "LOOKALIKE_BROKER_URL": "redis://127.0.0.1",
        "LOOKALIKE_MILVUS_URI": "http://127.0.0.1",
        "LOOKALIKE_OSS_ENDPOINT": server.endpoint,
        "LOOKALIKE_OSS_BUCKET": "pictures",
        "LOOKALIKE_OSS_REGION": "cn-hangzhou",
        "LOOKALIKE_OSS_TIMEOUT": "1",
        "LOOKALIKE_MAX_IMAGE_BYTES": str(len(BODY)),
        "OSS_ACCESS_KEY_ID": "id",
        "OSS_ACCESS_KEY_SECRET": "secret",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def store(environment: None) -> Iterator[OssObjectStore]:
    """A store with two objects: one of just the largest size, and an empty one."""
    assert environment is None
    made = OssObjectStore.from_settings(WorkerSettings.from_env())
    made.put(KEY, BODY)
    made.put("empty", b"")
    yield made
    made.close()


def soon(seconds: float = 30) -> float:
    """A deadline."""
    return time.monotonic() + seconds


def crc(body: bytes) -> int:
    """CRC-64 as OSS computes it."""
    checksum = Crc64()
    checksum.update(body)
    value: int = checksum.crc
    return value


def test_an_object_is_read_whole(store: OssObjectStore) -> None:
    """The bytes and their checksum, for a key of any characters; the checksum alone needs no body."""
    download = store.get(KEY, soon())
    assert (download.body, download.crc) == (BODY, crc(BODY))
    assert store.crc(KEY) == crc(BODY)
    assert store.get("empty", soon()).body == b""


def test_one_connection_serves_many_objects(store: OssObjectStore, server: OssServer) -> None:
    """A connection goes back to the pool after each object, refused ones included."""
    for _ in range(20):
        store.get(KEY, soon())
        with pytest.raises(ObjectMissing):
            store.get("gone", soon())
    assert server.faults.count("GET", KEY) == 20


def test_a_larger_object_is_refused_before_it_is_read(store: OssObjectStore) -> None:
    """One byte over the cap is too large, by the length that OSS declares."""
    store.put("large", BODY + b"x")
    with pytest.raises(TooLarge, match="102,401"):
        store.get("large", soon())


def test_a_missing_object_is_missing(store: OssObjectStore) -> None:
    """Reading it and asking for its checksum say so, by OSS' own code."""
    with pytest.raises(ObjectMissing, match="NoSuchKey"):
        store.get("gone", soon())
    with pytest.raises(ObjectMissing, match="NoSuchKey"):
        store.crc("gone")


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=503),
        Fault("status", status=500),
        Fault("status", status=429),
        Fault("status", status=400, code="RequestTimeout"),
        Fault("reset"),
        Fault("truncate"),
        Fault("corrupt"),
        Fault("stall"),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.code or fault.status}",
)
def test_what_may_work_later_is_transient(store: OssObjectStore, server: OssServer, fault: Fault) -> None:
    """A fault of the server or the network costs one try, and the next one gets the right bytes."""
    with server.faults.active(fault), pytest.raises(Transient) as raised:
        store.get(KEY, soon())
    assert not isinstance(raised.value, ObjectMissing)
    assert store.get(KEY, soon()).body == BODY


def test_a_dripping_server_meets_the_deadline(store: OssObjectStore, server: OssServer) -> None:
    """Bytes that keep coming, but too slowly, do not hold a thread beyond the object's time."""
    begun = time.monotonic()
    with (
        server.faults.active(Fault("drip", chunk=10, interval=0.05)),
        pytest.raises(Transient, match="no whole object in time"),
    ):
        store.get(KEY, soon(0.5))
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("status", "code"), [(403, "AccessDenied"), (404, "NoSuchBucket"), (403, "RequestTimeTooSkewed")]
)
def test_misconfiguration_is_told_from_the_objects_own_fault(
    store: OssObjectStore, server: OssServer, status: int, code: str
) -> None:
    """What would befall every object is no object's fault."""
    with server.faults.active(Fault("status", status=status, code=code)), pytest.raises(Misconfigured, match=code):
        store.get(KEY, soon())


def test_a_check_reads_no_more_than_a_byte(store: OssObjectStore, server: OssServer) -> None:
    """It passes for what can be read, whatever its size, and fails as reading would."""
    for key in (KEY, "empty"):
        store.check(key)
    with pytest.raises(ObjectMissing):
        store.check("nothere")
    with server.faults.active(Fault("status", method="GET", status=403)), pytest.raises(Misconfigured):
        store.check(KEY)
    with server.faults.active(Fault("drip", chunk=1, interval=0.2)):
        store.check(KEY)


def test_an_archived_object_is_not_readable(store: OssObjectStore, server: OssServer) -> None:
    """OSS refuses this one object: it is permanent for it."""
    fault = Fault("status", status=403, code="InvalidObjectState")
    with server.faults.active(fault), pytest.raises(NotReadable):
        store.get(KEY, soon())


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("OSS_ACCESS_KEY_SECRET", "wrong", "SignatureDoesNotMatch"),
        ("OSS_ACCESS_KEY_ID", "wrong", "InvalidAccessKeyId"),
        ("OSS_ACCESS_KEY_ID", "", "OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET must be set"),
        ("LOOKALIKE_OSS_BUCKET", "nothere", "NoSuchBucket"),
        ("LOOKALIKE_OSS_REGION", "cn-beijing", "region"),
    ],
)
def test_wrong_settings_are_misconfiguration(
    environment: None, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    """A wrong key, secret, bucket or region is said to be that, by OSS' own code."""
    assert environment is None
    monkeypatch.setenv(variable, value)
    with pytest.raises(Misconfigured, match=said):
        OssObjectStore.from_settings(WorkerSettings.from_env()).get("any", soon())


def test_a_key_in_a_file_is_read_at_every_request(
    environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever changes the file changes the key of a running worker, as temporary credentials need it."""
    assert environment is None
    file = tmp_path / "secret"
    file.write_text(os.environ["OSS_ACCESS_KEY_SECRET"] + "\n")
    monkeypatch.delenv("OSS_ACCESS_KEY_SECRET")
    monkeypatch.setenv("OSS_ACCESS_KEY_SECRET_FILE", str(file))
    store = OssObjectStore.from_settings(WorkerSettings.from_env())
    with pytest.raises(ObjectMissing):
        store.get("none", soon())
    file.write_text("another")
    with pytest.raises(Misconfigured, match="SignatureDoesNotMatch"):
        store.get("none", soon())
    file.unlink()
    with pytest.raises(Misconfigured, match=r"OSS_ACCESS_KEY_SECRET_FILE: .* cannot be read"):
        store.get("none", soon())


def test_nobody_there_is_transient(environment: None, monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    """Nothing listens: it may come up later."""
    assert environment is None
    monkeypatch.setenv("LOOKALIKE_OSS_ENDPOINT", f"http://127.0.0.1:{free_port}")
    store = OssObjectStore.from_settings(WorkerSettings.from_env())
    with pytest.raises(Transient, match="cannot be reached"):
        store.get("any", soon())
    store.close()


def test_what_oss_says_of_an_object(store: OssObjectStore) -> None:
    """Its checksum, and its user metadata under names in lower case."""
    assert store.head(KEY).crc == crc(BODY)
    assert store.head(KEY).metadata == {}
    store._bucket.put_object("tagged", b"", headers={"x-oss-meta-Company-Id": "7", "Content-Type": "a/b"})  # noqa: SLF001
    assert store.head("tagged").metadata == {"x-oss-meta-company-id": "7"}
    with pytest.raises(ObjectMissing):
        store.head("gone")


def test_objects_are_listed_in_pages(store: OssObjectStore) -> None:
    """In the order of their keys' bytes, each once, whatever is in a key."""
    keys = sorted(
        ("p/ +%&=é图.jpg", "p/a", "p/a b", "p/a+b", "p/\U0001f408", "p/\ufffd", "p/z/z", "p/<&>\n"), key=str.encode
    )
    for key in keys:
        store.put(key, b"12345")
    before = time.time_ns() // 10**9 - 60
    after, found = "", []
    while page := store.objects("p/", after, 3):
        assert len(page) <= 3
        found += page
        after = page[-1].key
    assert [one.key for one in found] == keys
    assert all(one.size == 5 and one.modified >= before * 1000 for one in found)
    assert [one.key for one in store.objects("", "", 1000)] == sorted([*keys, KEY, "empty"], key=str.encode)
