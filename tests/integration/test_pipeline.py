"""The main job, end to end: an event goes in, the right row is in Milvus, a search finds it."""

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pytest
from celery import Celery
from PIL import Image
from pymilvus import MilvusClient

from contract import InvalidMessage, QueryNotFound, QueryRejected, row_id
from devstack.oss import Fault, FaultClient
from producer import Client
from tests.corpus import corpus, encode, photos
from tests.integration.processes import Worker, eventually, settled
from worker.adapters.oss import OssObjectStore
from worker.core.hashing import create_draft_vector, create_vector
from worker.testing import hamming

ROW = ["id", "meta_id", "company_id", "image_vector", "object_key", "content_crc", "indexed_at"]


def events(keys: Mapping[str, bytes], company_id: int) -> list[dict[str, Any]]:
    """One event for each key, meta_id from 0."""
    return [{"object_key": key, "meta_id": n, "company_id": company_id} for n, key in enumerate(keys)]


def stored(milvus: MilvusClient, collection: str, company_id: int) -> dict[str, dict[str, Any]]:
    """All rows of a company as they are in Milvus, by object key."""
    rows = milvus.query(
        collection, filter=f"company_id == {company_id}", output_fields=ROW, limit=10_000, consistency_level="Strong"
    )
    return {row["object_key"]: row for row in rows}


def matched(matches: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Matches without their chance, which is an estimate that is renewed meanwhile."""
    return [{name: match[name] for name in match if name != "chance"} for match in matches]


def reference(body: bytes) -> bytes:
    """The vector by imagehash and numpy alone."""
    with Image.open(BytesIO(body)) as image:
        return np.packbits(imagehash.average_hash(image).hash).tobytes()


def test_every_vector_in_milvus_is_imagehashs(
    client: Client, bucket: OssObjectStore, milvus: MilvusClient, collection: str
) -> None:
    """Over 300 pictures of all formats and sizes go through the queue, and every row has the reference vector."""
    pictures = corpus()
    assert len(pictures) >= 300
    for key, body in pictures.items():
        bucket.put(key, body)
    assert client.enqueue_many(events(pictures, 1)).events == len(pictures)
    settled(client)
    rows = stored(milvus, collection, 1)
    assert set(rows) == set(pictures)
    assert [key for key, row in rows.items() if row["image_vector"][0] != reference(pictures[key])] == []
    now = time.time_ns() // 1_000_000
    for n, key in enumerate(pictures):
        assert (rows[key]["meta_id"], rows[key]["id"]) == (n, row_id(1, n))
        assert now - 600_000 < rows[key]["indexed_at"] <= now


def test_the_same_events_three_times_at_once_are_one_row_each(
    client: Client, bucket: OssObjectStore, milvus: MilvusClient, collection: str
) -> None:
    """500 events, enqueued by three threads at the same time, leave 500 rows."""
    body = photos()["coins.png"]
    keys = {f"again/{n}": body for n in range(500)}
    for key in keys:
        bucket.put(key, body)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: client.enqueue_many(events(keys, 2)), range(3)))
    settled(client)
    found = milvus.query(collection, filter="company_id == 2", output_fields=["count(*)"], consistency_level="Strong")
    assert found[0]["count(*)"] == 500
    assert len(stored(milvus, collection, 2)) == 500


def test_an_unchanged_object_is_asked_for_by_its_checksum_only(
    celery_only: Celery, bucket: OssObjectStore, faults: FaultClient
) -> None:
    """Enqueued again at once, an object is neither downloaded nor counted as indexed; changed, it is."""
    message = {"events": [{"object_key": "same.png", "meta_id": 1, "company_id": 3}]}

    def ingest() -> dict[str, int]:
        counts: dict[str, int] = celery_only.send_task("lookalike.ingest", kwargs=message, queue="ingest").get(60)
        return counts

    bucket.put("same.png", photos()["coffee.png"])
    assert ingest() == {"indexed": 1, "unchanged": 0, "dead": 0, "retried": 0}
    assert ingest() == {"indexed": 0, "unchanged": 1, "dead": 0, "retried": 0}
    assert (faults.count("GET", "same.png"), faults.count("HEAD", "same.png")) == (1, 1)
    bucket.put("same.png", photos()["rocket.jpg"])
    assert ingest() == {"indexed": 1, "unchanged": 0, "dead": 0, "retried": 0}


def test_each_kind_of_query_finds_the_picture(client: Client, bucket: OssObjectStore) -> None:
    """By key, bytes, hash and meta_id the same matches come back, nearest first, of the asking company alone."""
    pictures = {f"kinds/{name}": body for name, body in photos().items()}
    for key, body in pictures.items():
        bucket.put(key, body)
    client.enqueue_many(events(pictures, 4))
    client.enqueue_many(events(pictures, 5))
    settled(client)
    key = "kinds/astronaut.png"
    number = list(pictures).index(key)
    queries: list[dict[str, Any]] = [
        {"object_key": key},
        {"image": pictures[key]},
        {"vector": create_vector(pictures[key])},
        {"meta_id": number},
    ]
    options: dict[str, Any] = {"company_id": 4, "limit": 1000, "fresh": True, "collapse": False}
    answers = [matched(client.search(**query, **options)["matches"]) for query in queries]
    many = client.search_many(queries, **options)["results"]
    assert list(map(matched, many)) == answers
    expected = sorted(
        (hamming(create_vector(pictures[key]), create_vector(body)), row_id(4, n))
        for n, body in enumerate(pictures.values())
    )
    for matches in answers:
        assert [(match["distance"], match["id"]) for match in matches] == expected
        assert {match["company_id"] for match in matches} == {4}
    assert answers[0][0]["object_key"] == key
    everywhere = client.search(object_key=key, all_companies=True, max_distance=0, fresh=True, collapse=False)[
        "matches"
    ]
    assert sorted(match["company_id"] for match in everywhere if match["object_key"] == key) == [4, 5]


def test_a_deleted_picture_is_not_found_and_can_come_again(client: Client, bucket: OssObjectStore) -> None:
    """Delete counts what was there, leaves other tenants alone, and a new event brings the picture back."""
    bucket.put("gone.jpg", photos()["flower.jpg"])
    for company in (6, 7):
        client.enqueue("gone.jpg", meta_id=1, company_id=company)
    settled(client)

    def matches(company: int) -> int:
        return len(client.search(object_key="gone.jpg", company_id=company, fresh=True)["matches"])

    assert (matches(6), matches(7)) == (1, 1)
    assert client.delete([{"meta_id": 1, "company_id": 6}, {"meta_id": 404, "company_id": 6}]) == 1
    assert (matches(6), matches(7)) == (0, 1)
    assert client.delete([{"meta_id": 1, "company_id": 6}]) == 0
    client.enqueue("gone.jpg", meta_id=1, company_id=6)
    settled(client)
    assert matches(6) == 1


def test_errors_come_back_as_what_they_are(client: Client, bucket: OssObjectStore) -> None:
    """Each bad query has its own class, raised in the caller."""
    bucket.put("text.jpg", b"no picture at all")
    with pytest.raises(QueryNotFound):
        client.search(object_key="never/uploaded.jpg", company_id=8)
    with pytest.raises(QueryNotFound):
        client.search(meta_id=404, company_id=8)
    with pytest.raises(QueryRejected):
        client.search(object_key="text.jpg", company_id=8)
    with pytest.raises(QueryRejected):
        client.search(image=b"no picture at all", company_id=8)
    with pytest.raises(InvalidMessage):
        client.search(vector="00" * 7, company_id=8)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"query": {"vector": "00" * 8}}, "company_id is required"),
        ({"query": {"vector": "00" * 8, "meta_id": 1}, "company_id": 1}, "one of object_key"),
        ({"query": {}, "company_id": 1}, "one of object_key"),
        ({"query": {"vector": "xyz"}, "company_id": 1}, "query.vector: not hexadecimal"),
        ({"query": {"vector": "00"}, "company_id": 1}, "8 bytes are needed"),
        ({"query": {"image": "%%%"}, "company_id": 1}, "query.image: not base64"),
        ({"query": {"meta_id": True}, "company_id": 1}, "query.meta_id"),
        ({"query": {"meta_id": 1}, "company_id": 2**63}, "company_id"),
        ({"query": {"meta_id": 1}, "company_id": "1"}, "company_id"),
        ({"query": {"meta_id": 1}, "company_id": 1, "limit": 0}, "limit"),
        ({"query": {"meta_id": 1}, "company_id": 1, "limit": 1001}, "limit"),
        ({"query": {"meta_id": 1}, "company_id": 1, "max_distance": -1}, "max_distance"),
        ({"query": {"meta_id": 1}, "company_id": 1, "colour": "red"}, "colour"),
    ],
)
def test_a_bad_search_by_plain_celery_is_told_what_is_wrong(
    celery_only: Celery, arguments: dict[str, Any], said: str
) -> None:
    """The worker checks what no client of ours has checked, and names the field."""
    result = celery_only.send_task("lookalike.search", kwargs=arguments, queue="search")
    with pytest.raises(Exception, match=said) as raised:
        result.get(30)
    assert type(raised.value).__name__ == "InvalidMessage"


def test_an_application_with_celery_alone_does_everything(celery_only: Celery, bucket: OssObjectStore) -> None:
    """Tasks are called by name with JSON, and plain values come back."""
    bucket.put("plain.jpg", photos()["china.jpg"])
    event = {"object_key": "plain.jpg", "meta_id": 2**63 - 1, "company_id": -(2**63)}

    def call(task: str, queue: str, **arguments: Any) -> Any:
        return celery_only.send_task(task, kwargs=arguments, queue=queue).get(60)

    assert call("lookalike.ingest", "ingest", events=[event])["indexed"] == 1
    image = base64.b64encode(photos()["china.jpg"]).decode()
    found = call("lookalike.search", "search", query={"image": image}, company_id=-(2**63), fresh=True)
    (match,) = found["matches"]
    member = {"id": row_id(-(2**63), 2**63 - 1), **event}
    assert found["hash"] == "ahash"
    assert match.items() >= {**member, "distance": 0, "count": 1, "quality": 100, "members": [member]}.items()
    assert 0 < match["chance"] < 1
    many = call("lookalike.search_many", "search", queries=[{"image": image}], company_id=-(2**63), fresh=True)
    assert many == {"hash": "ahash", "results": [found["matches"]]}
    assert call("lookalike.delete", "ingest", items=[{"meta_id": 2**63 - 1, "company_id": -(2**63)}]) == {"deleted": 1}


def test_a_backlog_of_ingest_delays_no_search(client: Client, bucket: OssObjectStore, faults: FaultClient) -> None:
    """While every ingest thread hangs on a stalled download and messages wait, a search is answered."""
    bucket.put("slow/a.jpg", photos()["coffee.png"])
    with faults.active(Fault("stall", prefix="slow/", times=None)):
        backlog = [{"object_key": "slow/a.jpg", "meta_id": n, "company_id": 9} for n in range(100)]
        client.enqueue_many(backlog, batch_size=1)
        eventually("the queue has a backlog", lambda: client.status().queues["ingest"] > 0)
        found = client.search(vector="00" * 8, company_id=9)
        assert client.status().queues["ingest"] > 0
        assert found["matches"] == []
    settled(client)


def test_logs_are_data_and_hold_no_secret(
    client: Client, bucket: OssObjectStore, ingest_worker: Worker, stack_env: Mapping[str, str]
) -> None:
    """Every line of a task names its task and company, an event's line the event too, and no line has the secret."""
    bucket.put("logged.jpg", b"no picture")
    batch = client.enqueue("logged.jpg", meta_id=77, company_id=10)
    settled(client)
    lines = [line for line in ingest_worker.lines() if line.get("task_id") == batch]
    assert {line["event"] for line in lines} == {"event_dead", "batch_settled"}
    assert {line["company_id"] for line in lines} == {10}
    (dead,) = [line for line in lines if line["event"] == "event_dead"]
    assert (dead["meta_id"], dead["object_key"], dead["reason"]) == (77, "logged.jpg", "not_an_image")
    assert stack_env["OSS_ACCESS_KEY_SECRET"] not in ingest_worker.log.read_text()


@pytest.mark.parametrize("pool", ["threads", "prefork", "solo"])
def test_every_pool_ingests(
    pool: str, start_worker: Callable[..., Worker], celery_only: Celery, bucket: OssObjectStore, tmp_path: Path
) -> None:
    """Threads, forked processes and the main thread each make their own connections, and do the same."""
    with start_worker("-Q", "ingest-alone", "-P", pool, "-c", "2", "-n", f"{pool}@%h", log=tmp_path / "log"):
        bucket.put(f"{pool}.png", photos()["camera.png"])
        made = [
            celery_only.send_task(
                "lookalike.ingest",
                kwargs={"events": [{"object_key": f"{pool}.png", "meta_id": n, "company_id": 11}]},
                queue="ingest-alone",
            )
            for n in range(8)
        ]
        assert [result.get(60)["indexed"] for result in made] == [1] * 8


def test_the_draft_profile_has_a_collection_of_its_own(
    start_worker: Callable[..., Worker],
    celery_only: Celery,
    bucket: OssObjectStore,
    milvus: MilvusClient,
    tmp_path: Path,
) -> None:
    """Its workers write there, search there, and say so."""
    with Image.open(BytesIO(photos()["china.jpg"])) as photo:
        body = encode(photo.resize((1024, 1024)), "JPEG")
    bucket.put("draft.jpg", body)
    event = {"object_key": "draft.jpg", "meta_id": 1, "company_id": 12}
    with start_worker(
        "-Q", "draft", "-P", "solo", "-n", "draft@%h", log=tmp_path / "log", LOOKALIKE_HASH="ahash_draft"
    ):
        ingest = celery_only.send_task("lookalike.ingest", kwargs={"events": [event]}, queue="draft")
        assert ingest.get(60)["indexed"] == 1
        search = celery_only.send_task(
            "lookalike.search",
            kwargs={"query": {"object_key": "draft.jpg"}, "company_id": 12, "fresh": True},
            queue="draft",
        )
        found = search.get(60)
    assert found["hash"] == "ahash_draft"
    assert [(match["meta_id"], match["distance"]) for match in found["matches"]] == [(1, 0)]
    assert stored(milvus, "shared_ahash_draft", 12)["draft.jpg"]["image_vector"] == [create_draft_vector(body)]


@pytest.mark.parametrize(
    ("pool", "queue", "warm"), [("threads", "search", 1), ("prefork", "search", 1), ("threads", "ingest", 0)]
)
def test_a_search_worker_is_warm_before_its_first_caller(
    start_worker: Callable[..., Worker], tmp_path: Path, pool: str, queue: str, warm: int
) -> None:
    """It has searched once when it is ready, in each process that searches, and a worker of uploads has not."""
    with start_worker("-Q", queue, "-P", pool, "-c", "1", "-n", "warm@%h", log=tmp_path / "log") as worker:
        eventually("ready", lambda: any(str(line["event"]).endswith(" ready.") for line in worker.lines()))
        eventually("warm", lambda: times(worker, "search_warm") >= warm)
    assert times(worker, "search_warm") == warm


def times(worker: Worker, event: str) -> int:
    """How often a worker's log has an event."""
    return sum(line["event"] == event for line in worker.lines())
