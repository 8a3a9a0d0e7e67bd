"""Several profiles at once, and a new one that is filled while serving goes on."""

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pymilvus import DataType, MilvusClient

from contract import InvalidMessage, ServiceUnavailable
from producer import Client
from tests.corpus import encode, photos
from tests.integration.conftest import client_settings
from tests.integration.processes import ADDRESSES, Worker, on_own_databases, settled
from worker.adapters.oss import OssObjectStore

COMPANY = 21
COLLECTION = "profiles"


def events(keys: list[str]) -> list[dict[str, Any]]:
    """One event for each key, meta_id from 0."""
    return [{"object_key": key, "meta_id": n, "company_id": COMPANY} for n, key in enumerate(keys)]


@pytest.fixture
def keys(bucket: OssObjectStore) -> list[str]:
    """The photos, uploaded."""
    for key, body in photos().items():
        bucket.put(f"profiles/{key}", body)
    return [f"profiles/{key}" for key in photos()]


@pytest.fixture
def environment(stack_env: Mapping[str, str]) -> Mapping[str, str]:
    """Queues and a ledger that no other worker looks at."""
    return on_own_databases(stack_env, 9)


@pytest.fixture
def start(
    start_worker: Callable[..., Worker], environment: Mapping[str, str], tmp_path: Path
) -> Callable[[str, str], Worker]:
    """Makes a worker of all queues, with a Redis database, a collection and profiles of its own."""

    def make(name: str, profiles: str) -> Worker:
        return start_worker(
            *("-Q", "ingest,search", "-P", "threads", "-c", "8", "-n", f"{name}@%h"),
            log=tmp_path / name,
            LOOKALIKE_HASH=profiles,
            LOOKALIKE_COLLECTION=COLLECTION,
            **{name: environment[name] for name in ADDRESSES},
        )

    return make


def rows(milvus: MilvusClient, collection: str) -> dict[str, bytes]:
    """The vectors of the company's rows, by object key."""
    found = milvus.query(
        collection,
        filter=f"company_id == {COMPANY}",
        output_fields=["object_key", "image_vector"],
        limit=1000,
        consistency_level="Strong",
    )
    return {row["object_key"]: row["image_vector"][0] for row in found}


def test_a_profile_is_added_to_what_is_indexed(
    start: Callable[[str, str], Worker],
    environment: Mapping[str, str],
    keys: list[str],
    milvus: MilvusClient,
    bucket: OssObjectStore,
) -> None:
    """What was indexed by one profile is hashed by two others, each in its own collection; new uploads by all."""
    settings = client_settings(environment)
    with Client(settings) as client:
        with start("one", "ahash"):
            client.enqueue_many(events(keys))
            settled(client)
            with pytest.raises(InvalidMessage, match="the workers serve ahash"):
                client.reindex("phash")
            with pytest.raises(InvalidMessage, match="from another collection"):
                client.reindex("ahash")
        before = rows(milvus, f"{COLLECTION}_ahash")
        assert before.keys() == set(keys)
        with start("three", "ahash,phash.upright,pdq.upright"):
            with pytest.raises(ServiceUnavailable, match=r"reindex --hash phash\.upright"):
                client.search(object_key=keys[0], company_id=COMPANY, hash="phash.upright")
            done = client.reindex("phash.upright")
            assert (done["read"], done["enqueued"], done["source"]) == (len(keys), len(keys), f"{COLLECTION}_ahash")
            settled(client)
            assert client.reindex("phash.upright")["enqueued"] == 0
            assert client.reindex("pdq.upright")["enqueued"] == 0, "one event gives a picture all of its hashes"
            bucket.put("profiles/new", photos()["coffee.png"])
            client.enqueue("profiles/new", meta_id=900, company_id=COMPANY)
            client.delete([{"meta_id": 0, "company_id": COMPANY}])
            settled(client)
            found = client.search(meta_id=1, company_id=COMPANY, hash="phash.upright", fresh=True)
            assert found["hash"] == "phash.upright"
            assert found["matches"][0]["distance"] == 0
    everything = {"profiles/new", *keys[1:]}
    for name, size in (("ahash", 8), ("phash_upright", 8), ("pdq_upright", 32)):
        vectors = rows(milvus, f"{COLLECTION}_{name}")
        assert vectors.keys() == everything
        assert {len(vector) for vector in vectors.values()} == {size}
        assert len(set(vectors.values())) > len(keys) // 2
    after = rows(milvus, f"{COLLECTION}_ahash")
    assert {key: after[key] for key in keys[1:]} == {key: before[key] for key in keys[1:]}


def test_a_profile_is_filled_from_a_collection_of_another_making(
    start: Callable[[str, str], Worker], environment: Mapping[str, str], keys: list[str], milvus: MilvusClient
) -> None:
    """It has only to name the objects. What these workers indexed since stays as it is."""
    schema = milvus.create_schema(auto_id=True)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("meta_id", DataType.INT64)
    schema.add_field("company_id", DataType.INT64)
    schema.add_field("image_vector", DataType.BINARY_VECTOR, dim=64)
    schema.add_field("object_key", DataType.VARCHAR, max_length=1024)
    milvus.create_collection("profiles_elsewhere", schema=schema)
    index = milvus.prepare_index_params()
    index.add_index("image_vector", index_type="BIN_FLAT", metric_type="HAMMING")
    milvus.create_index("profiles_elsewhere", index)
    milvus.insert("profiles_elsewhere", [{**event, "image_vector": bytes(8)} for event in events(keys)])
    with Client(client_settings(environment)) as client, start("dhash", "dhash"):
        client.enqueue(keys[5], meta_id=3, company_id=COMPANY)
        settled(client)
        done = client.reindex("dhash", source="profiles_elsewhere")
        assert (done["read"], done["present"], done["enqueued"]) == (len(keys), 1, len(keys) - 1)
        settled(client)
        with pytest.raises(ServiceUnavailable, match="no collection nowhere"):
            client.reindex("dhash", source="nowhere", timeout=2)
    found = rows(milvus, f"{COLLECTION}_dhash")
    assert found.keys() == {key for n, key in enumerate(keys) if n != 3}


def test_an_answer_says_what_it_is(
    start: Callable[[str, str], Worker], environment: Mapping[str, str], bucket: OssObjectStore
) -> None:
    """Through the queue: copies as one match with its members, a second look, thresholds by chance, blank pictures."""
    with Image.open(BytesIO(photos()["coffee.png"])) as opened:
        photo = opened.convert("RGB")
    copies = {
        "answers/original.png": encode(photo, "PNG"),
        "answers/same.png": encode(photo, "PNG"),
        "answers/small.jpg": encode(photo.resize((300, 200)), "JPEG", quality=90),
        "answers/mirrored.jpg": encode(photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "JPEG"),
        "answers/blank.png": encode(Image.new("RGB", (64, 64), "white"), "PNG"),
        "answers/other.jpg": photos()["rocket.jpg"],
    }
    for key, body in copies.items():
        bucket.put(key, body)
    with Client(client_settings(environment)) as client, start("answers", "ahash,pdq.upright"):
        for n, key in enumerate(copies):
            client.enqueue(key, meta_id=n, company_id=COMPANY + 1)
            settled(client)
        asked: dict[str, Any] = {"company_id": COMPANY + 1, "fresh": True}
        looked = client.search(object_key="answers/original.png", verify=True, collapse=False, **asked)["matches"]
        kinds = {match["object_key"]: match["kind"] for match in looked}
        assert kinds == {
            "answers/original.png": "same_bytes",
            "answers/same.png": "same_bytes",
            "answers/small.jpg": "resized",
            "answers/mirrored.jpg": "rotated_or_mirrored",
            "answers/other.jpg": "probably_chance",
        }
        (first, *_) = client.search(meta_id=1, **asked)["matches"]
        assert (first["meta_id"], first["count"]) == (0, 3)
        assert {member["meta_id"] for member in first["members"]} == {0, 1, 2}
        members = list(client.members_of(1, company_id=COMPANY + 1, page=1))
        assert {member["meta_id"] for member in members} == {0, 1, 2}
        by_pdq = client.search(meta_id=0, hash="pdq.upright", max_distance=31, **asked)
        assert (by_pdq["hash"], by_pdq["matches"][0]["count"]) == ("pdq.upright", 2)
        assert client.search(object_key="answers/blank.png", max_distance=0, **asked)["matches"] == []
        blank = client.search(object_key="answers/blank.png", max_distance=0, low_quality=True, **asked)["matches"]
        assert [(match["meta_id"], match["quality"]) for match in blank] == [(4, 0)]
        near = client.search(meta_id=0, max_chance=10.0, **asked)["matches"]
        assert near[0]["meta_id"] == 0
        assert all(match["chance"] <= 10 for match in near)
        for wrong, said in (
            ({"hash": "md5"}, "there is no profile"),
            ({"hash": "dhash"}, r"the workers serve ahash, pdq\.upright"),
            ({"max_distance": 65}, "ahash has 64 bits"),
            ({"max_distance": 3, "max_chance": 0.1}, "one of them"),
            ({"max_chance": -1.0}, "max_chance"),
        ):
            with pytest.raises(InvalidMessage, match=said):
                client.search(meta_id=0, **asked, **wrong)
