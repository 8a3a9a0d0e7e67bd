"""Objects are downloaded ahead of their decode, within a bounded number of bytes, from a real server."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devstack.oss import Credentials, OssServer
from worker.adapters.oss import OssObjectStore
from worker.core.errors import TooLarge, Transient
from worker.core.outcomes import Dead, Indexed, RetryPolicy
from worker.ports import Download
from worker.services.decoders import Decoders
from worker.services.helpers import Helpers
from worker.services.ingest import Budget, Ingest
from worker.services.removal import Removal
from worker.services.room import Room
from worker.services.writer import GroupWriter
from worker.settings import WorkerSettings
from worker.testing import MAPPER, MemoryClaims, MemoryIndex, fingerprinting

LARGEST = 1_000_000
AT_ONCE = 8


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OssObjectStore]:
    """A bucket on a server of its own, and what a worker reads it with."""
    with OssServer(tmp_path, buckets=["pictures"], credentials=Credentials("id", "secret")) as server:
        for name, value in {
            "LOOKALIKE_BROKER_URL": "redis://127.0.0.1",
            "LOOKALIKE_MILVUS_URI": "http://127.0.0.1",
            "LOOKALIKE_OSS_ENDPOINT": server.endpoint,
            "LOOKALIKE_OSS_BUCKET": "pictures",
            "LOOKALIKE_OSS_REGION": "cn-hangzhou",
            "LOOKALIKE_MAX_IMAGE_BYTES": str(LARGEST),
            "OSS_ACCESS_KEY_ID": "id",
            "OSS_ACCESS_KEY_SECRET": "secret",
        }.items():
            monkeypatch.setenv(name, value)
        made = OssObjectStore.from_settings(WorkerSettings.from_env())
        yield made
        made.close()


class InFlight:
    """A store that knows how many bytes were downloaded and are not yet hashed."""

    def __init__(self, store: OssObjectStore) -> None:
        self.bytes = 0
        self.most = 0
        self.crc, self.head, self.check = store.crc, store.head, store.check
        self._store = store
        self._lock = threading.Lock()

    def get(self, key: str, deadline: float, reserve: Callable[[int], None] | None = None) -> Download:
        """Download."""
        download = self._store.get(key, deadline, reserve)
        with self._lock:
            self.bytes += len(download.body)
            self.most = max(self.most, self.bytes)
        return download

    def hash(self, body: bytes) -> bytes:
        """Hash; the decoders are few, and the downloads many."""
        with self._lock:
            self.bytes -= len(body)
        return body[:8].rjust(8, b"0")


@pytest.mark.parametrize("bound", [300_000, 700_000], ids=["one at a time", "several"])
def test_bytes_in_flight_stay_within_their_bound(store: OssObjectStore, bound: int) -> None:
    """Bodies larger than the bound are held alone, and none is stuck, though several batches share the helpers."""
    sizes = [20_000 * n + 1 for n in range(1, 35)]
    for size in sizes:
        store.put(f"{size}", b"x" * size)
    store.put("too large", b"x" * (LARGEST + 1))
    objects, index, claims = InFlight(store), MemoryIndex(), MemoryClaims()
    helpers = Helpers(AT_ONCE)
    ingest = Ingest(
        objects,
        index,
        claims,
        GroupWriter(index, max_rows=1000),
        Decoders(fingerprinting(objects.hash), len, at_once=2, pixels=bound, seconds=60),
        profiles=["ahash"],
        mapper=MAPPER,
        removal=Removal(index, claims, delete_seconds=0),
        helpers=helpers,
        room=Room(bound),
        policy=RetryPolicy(),
        budget=Budget(begin=60, each=60, write=60),
    )
    keys = [*map(str, sizes), "too large"]
    batches = [
        [{"object_key": key, "meta_id": n, "company_id": company} for n, key in enumerate(keys)] for company in range(3)
    ]
    outcomes = Helpers(len(batches)).map(lambda batch: ingest(batch, 1, 0), batches)
    helpers.close()
    for ended in outcomes:
        assert [type(outcome) for outcome in ended] == [Indexed] * len(sizes) + [Dead]
    assert objects.bytes == 0
    assert max(sizes) <= objects.most <= max(bound, *sizes)


def test_room_is_asked_for_before_the_body_is_read(store: OssObjectStore) -> None:
    """With its size in bytes. Where there is none in time the body is not read; what is too large asks for none."""
    store.put("object", b"x" * 500)
    store.put("too large", b"x" * (LARGEST + 1))
    asked: list[int] = []
    assert store.get("object", time.monotonic() + 30, asked.append).body == b"x" * 500
    with pytest.raises(TooLarge):
        store.get("too large", time.monotonic() + 30, asked.append)
    assert asked == [500]

    def refuse(size: int) -> None:
        raise Transient(f"no room for {size}")

    with pytest.raises(Transient, match="no room for 500"):
        store.get("object", time.monotonic() + 30, refuse)
