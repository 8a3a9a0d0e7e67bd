"""Objects that are overwritten while their events are worked on: the last state wins."""

from collections.abc import Callable
from pathlib import Path

from pymilvus import MilvusClient

from devstack.oss import Fault, FaultClient
from producer import Client
from tests.corpus import noise
from tests.integration.processes import Worker, eventually, settled
from worker.adapters.oss import OssObjectStore
from worker.core.hashing import create_vector

COMPANY = 12
PICTURES = [f"order/{n}.png" for n in range(30)]
VERSIONS = 5


def test_the_last_of_many_versions_is_indexed(
    client: Client,
    bucket: OssObjectStore,
    faults: FaultClient,
    milvus: MilvusClient,
    collection: str,
    ingest_worker: Worker,
    start_worker: Callable[..., Worker],
    tmp_path: Path,
) -> None:
    """Every picture is overwritten while two workers are at it, and half of the first versions are read slowly."""
    events = [{"object_key": key, "meta_id": n, "company_id": COMPANY} for n, key in enumerate(PICTURES)]
    slow = [Fault("drip", method="GET", key=key, chunk=20, interval=0.2) for key in PICTURES[::2]]
    with (
        start_worker("-Q", "ingest", "-P", "threads", "-c", "16", "-n", "other@%h", log=tmp_path / "log") as other,
        faults.active(*slow),
    ):
        faults.forget_requests()
        for number in range(VERSIONS):
            for n, key in enumerate(PICTURES):
                bucket.put(key, noise(n, number))
            client.enqueue_many(events, batch_size=2)
            eventually("the first versions are being read", lambda: faults.count("GET") >= len(slow))
        settled(client)
        retried = {
            line["object_key"]
            for worker in (ingest_worker, other)
            for line in worker.lines()
            if line["event"] == "event_retried" and line["company_id"] == COMPANY and "began meanwhile" in line["error"]
        }
    found = milvus.query(
        collection,
        filter=f"company_id == {COMPANY}",
        output_fields=["object_key", "image_vector"],
        limit=1000,
        consistency_level="Strong",
    )
    last = {key: create_vector(noise(n, VERSIONS - 1)) for n, key in enumerate(PICTURES)}
    assert {row["object_key"]: row["image_vector"][0] for row in found} == last
    # Those of other tests are of all kinds.
    dead = [letter.event for letter in client.dead_letters() if isinstance(letter.event, dict)]
    assert [event for event in dead if event.get("company_id") == COMPANY] == []
    assert retried
