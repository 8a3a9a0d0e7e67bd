"""The objects on disk."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from crcmod import Crc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devstack.oss.storage import Storage, StorageError, StoredObject

HOSTILE_KEYS = ["../../x", "/etc/passwd", "a/../../b", "..", "a\x00b", "con", "a" * 1023, "猫/😀", "a b+c%2F"]


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    """A storage with one bucket, in a folder that is inside of another."""
    with closing(Storage(tmp_path / "outer" / "inner", ["pictures"], 5.0)) as storage:
        yield storage


def put(storage: Storage, key: str, body: bytes, **headers: str) -> StoredObject:
    """Put an object at time 7."""
    with storage.upload() as upload:
        upload.write(body)
        return storage.put("pictures", key, upload, headers, 7.9)


def body_of(storage: Storage, stored: StoredObject) -> bytes:
    """The bytes of an object."""
    with storage.open(stored) as file:
        return file.read()


def files_of(folder: Path) -> list[Path]:
    """The bodies in a folder."""
    return list((folder / "outer" / "inner" / "bodies").glob("*/*"))


def test_an_object_comes_back_as_it_was_put(storage: Storage) -> None:
    """Bytes, size, headers and time are kept, and the checksums are those of the bytes."""
    stored = put(storage, "a.jpg", b"123456789", **{"x-oss-meta-a": "b"})
    assert storage.find("pictures", "a.jpg") == stored
    assert body_of(storage, stored) == b"123456789"
    assert (stored.size, stored.modified, stored.headers) == (9, 7, {"x-oss-meta-a": "b"})
    assert stored.etag == '"25F9E794323B453885F5181F1B624D0B"'
    assert stored.crc64 == str(0x995DC9BBDF1939FA)  # the check value of CRC-64/XZ


@given(chunks=st.lists(st.binary(max_size=50), max_size=5))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_checksums_do_not_depend_on_the_chunks(storage: Storage, chunks: list[bytes]) -> None:
    """However a body is cut into chunks, its checksums are those of the whole."""
    with storage.upload() as upload:
        for chunk in chunks:
            upload.write(chunk)
    whole = Crc(0x142F0E1EBA9EA3693, initCrc=0, xorOut=0xFFFFFFFFFFFFFFFF, rev=True)
    whole.update(b"".join(chunks))
    assert upload.crc64 == str(whole.crcValue)
    assert upload.size == len(b"".join(chunks))


@pytest.mark.parametrize("key", HOSTILE_KEYS, ids=ascii)
def test_no_key_reaches_the_file_system(storage: Storage, tmp_path: Path, key: str) -> None:
    """A key that looks like a path is a key: no file is outside of the folder of bodies, none is named after it."""
    stored = put(storage, key, b"body")
    assert body_of(storage, stored) == b"body"
    assert [path.name for path in files_of(tmp_path)] == [stored.body]
    inner = tmp_path / "outer" / "inner"
    assert {path.name for path in inner.iterdir()} <= {
        "bodies",
        "lock",
        "index.sqlite3",
        "index.sqlite3-wal",
        "index.sqlite3-shm",
    }
    assert list((tmp_path / "outer").iterdir()) == [inner]


def test_replacing_and_deleting_leaves_no_file_behind(storage: Storage, tmp_path: Path) -> None:
    """An object has one file, and a deleted one has none; to delete what is not there is no error."""
    put(storage, "a", b"one")
    put(storage, "a", b"two")
    assert len(files_of(tmp_path)) == 1
    storage.delete("pictures", "a")
    storage.delete("pictures", "a")
    assert files_of(tmp_path) == []
    assert storage.find("pictures", "a") is None


def test_a_reader_keeps_what_it_opened(storage: Storage) -> None:
    """A body that is being read stays what it was when the object is replaced or deleted."""
    with storage.open(put(storage, "a", b"one")) as file:
        put(storage, "a", b"two")
        storage.delete("pictures", "a")
        assert file.read() == b"one"


def test_an_upload_that_is_given_up_leaves_nothing(storage: Storage, tmp_path: Path) -> None:
    """A body that did not become an object is removed."""

    def give_up() -> None:
        with storage.upload() as upload:
            upload.write(b"half")
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        give_up()
    assert files_of(tmp_path) == []


def test_buckets_are_apart(tmp_path: Path) -> None:
    """The same key in two buckets is two objects."""
    with closing(Storage(tmp_path, ["one", "two"], 0.0)) as storage:
        for bucket in ("one", "two"):
            with storage.upload() as upload:
                upload.write(bucket.encode())
                storage.put(bucket, "a", upload, {}, 0.0)
        found = storage.find("two", "a")
        assert found is not None
        assert body_of(storage, found) == b"two"
        assert [stored.size for stored in storage.scan("one", b"")] == [3]


def test_objects_are_there_after_a_restart(tmp_path: Path) -> None:
    """Objects and the age of the bucket outlive the server, and also its forgetting a bucket for a while."""
    with closing(Storage(tmp_path, ["pictures"], 5.0)) as storage:
        stored = put(storage, "a", b"one")
    with closing(Storage(tmp_path, ["others"], 6.0)) as storage:
        assert storage.bucket_created("pictures") is None
    with closing(Storage(tmp_path, ["pictures"], 9.0)) as storage:
        assert storage.find("pictures", "a") == stored
        assert body_of(storage, stored) == b"one"
        assert storage.bucket_created("pictures") == 5.0


def test_a_start_removes_what_a_crash_left(tmp_path: Path) -> None:
    """A body that no object names, as a kill in the middle of a put leaves it, is gone after the next start."""
    with closing(Storage(tmp_path, ["pictures"], 5.0)) as storage:
        stored = put(storage, "a", b"one")
        orphan = storage.upload()
        orphan.write(b"half")
        orphan.close()
    with closing(Storage(tmp_path, ["pictures"], 5.0)):
        assert [path.name for path in (tmp_path / "bodies").glob("*/*")] == [stored.body]


def test_a_folder_belongs_to_one_server(storage: Storage, tmp_path: Path) -> None:
    """A second storage on the same folder is refused, with a message that says why."""
    assert storage.bucket_created("pictures") == 5.0
    with pytest.raises(StorageError, match="another server is using the folder"):
        Storage(tmp_path / "outer" / "inner", ["pictures"], 5.0)


def test_a_folder_of_another_version_is_refused(tmp_path: Path) -> None:
    """An index that this version cannot read is not touched, and the folder is free again."""
    with closing(Storage(tmp_path, ["pictures"], 5.0)) as storage:
        storage._database.execute("PRAGMA user_version = 99")  # noqa: SLF001 - no other way to get one
    for _ in range(2):
        with pytest.raises(StorageError, match="version 99"):
            Storage(tmp_path, ["pictures"], 5.0)


def test_scans_are_in_the_order_of_bytes(storage: Storage) -> None:
    """Keys come in the order of their UTF-8 bytes, from the position that was asked for."""
    keys = ["a", "b", "a/b", "é", "\uffee", "\U0001f600", "A"]
    for key in keys:
        put(storage, key, b"")
    assert [stored.key for stored in storage.scan("pictures", b"")] == sorted(keys, key=str.encode)
    assert [stored.key for stored in storage.scan("pictures", b"b")] == ["b", "é", "\uffee", "\U0001f600"]
