"""The collection: made when it is missing, left alone when it exists, refused when it does not fit."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from pymilvus import DataType, MilvusClient

from contract import PROFILES
from worker.adapters.milvus import MilvusConnection, MilvusIndex
from worker.core.errors import Misconfigured, Transient
from worker.core.provenance import Provenance, made_here
from worker.ports import Scope
from worker.settings import WorkerSettings
from worker.testing import make_row

AHASH = PROFILES["ahash"]
ROW = make_row(1, 7)


@pytest.fixture
def connection(settings: WorkerSettings) -> Iterator[MilvusConnection]:
    """A connection that is not open yet."""
    with closing(MilvusConnection(settings)) as made:
        yield made


@pytest.fixture
def index(connection: MilvusConnection, settings: WorkerSettings) -> MilvusIndex:
    """An index that has not connected yet."""
    return MilvusIndex(connection, settings, AHASH)


def create(
    milvus: MilvusClient,
    name: str,
    *,
    bits: int = 64,
    article: bool = False,
    key_bytes: int = 2048,
    description: str = "",
) -> None:
    """Make a collection as somebody else would: the one of the article, or one that fits ours."""
    schema = milvus.create_schema(auto_id=article, description=description)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("meta_id", DataType.INT64)
    schema.add_field("company_id", DataType.INT64)
    schema.add_field("image_vector", DataType.BINARY_VECTOR, dim=bits)
    if not article:
        schema.add_field("object_key", DataType.VARCHAR, max_length=key_bytes)
        schema.add_field("content_crc", DataType.INT64)
        schema.add_field("indexed_at", DataType.INT64)
        schema.add_field("quality", DataType.INT16)
        schema.add_field("width", DataType.INT32)
        schema.add_field("height", DataType.INT32)
        schema.add_field("vector_key", DataType.INT64)
    milvus.create_collection(name, schema=schema)


def add_index(milvus: MilvusClient, name: str, metric: str) -> None:
    """Give a collection an index on its vectors."""
    parameters = milvus.prepare_index_params()
    parameters.add_index("image_vector", index_type="BIN_FLAT", metric_type=metric)
    milvus.create_index(name, parameters)


def test_a_missing_collection_is_made(index: MilvusIndex, milvus: MilvusClient) -> None:
    """It has our fields, no auto_id, a HAMMING index, tenant partitions, and says what made it."""
    index.upsert([ROW])
    found = milvus.describe_collection(index.collection)
    types = {field["name"]: field["type"].name for field in found["fields"]}
    assert types == {
        "id": "INT64",
        "meta_id": "INT64",
        "company_id": "INT64",
        "image_vector": "BINARY_VECTOR",
        "object_key": "VARCHAR",
        "content_crc": "INT64",
        "indexed_at": "INT64",
        "quality": "INT16",
        "width": "INT32",
        "height": "INT32",
        "vector_key": "INT64",
    }
    assert found["auto_id"] is False
    assert index.collection.endswith("_ahash")
    described = milvus.describe_index(index.collection, "image_vector")
    assert (described["index_type"], described["metric_type"]) == ("BIN_FLAT", "HAMMING")
    assert set(milvus.list_partitions(index.collection)) == {"_default", *(f"tenant_{n}" for n in range(4))}
    assert Provenance.load(found["description"]) == made_here(AHASH, 4)


def test_a_clustered_index_is_made_by_setting(
    connection: MilvusConnection, settings: WorkerSettings, milvus: MilvusClient
) -> None:
    """BIN_IVF_FLAT has the clusters that the setting says, and searches."""
    clustered = settings.model_copy(update={"index_type": "BIN_IVF_FLAT", "index_nlist": 16})
    index = MilvusIndex(connection, clustered, AHASH)
    index.upsert([ROW])
    described = milvus.describe_index(index.collection, "image_vector")
    assert (described["index_type"], described["nlist"]) == ("BIN_IVF_FLAT", "16")
    (hits,) = index.search([bytes(8)], Scope(7, max_distance=0, fresh=True), 5)
    assert [hit.meta_id for hit in hits] == [1]


def test_rows_go_to_their_tenants_partition(index: MilvusIndex, milvus: MilvusClient) -> None:
    """Company 7 of 4 partitions is in the third, and so is company -1."""
    negative = make_row(1, -1)
    index.upsert([ROW, negative])
    found = milvus.query(
        index.collection, ids=[ROW.id, negative.id], partition_names=["tenant_3"], consistency_level="Strong"
    )
    assert len(found) == 2


def test_a_collection_keeps_its_own_number_of_partitions(
    connection: MilvusConnection, settings: WorkerSettings, index: MilvusIndex
) -> None:
    """A worker with another setting routes as the collection says, so nobody loses sight of a row."""
    index.upsert([ROW])
    other = MilvusIndex(connection, settings.model_copy(update={"partitions": 9}), AHASH)
    assert other.lookup({ROW.id: 7}, fresh=True) == {ROW.id: ROW}
    other.upsert([ROW])
    assert other.counts() == {index.collection: 1}


def test_a_collection_that_fits_is_left_alone(index: MilvusIndex, milvus: MilvusClient) -> None:
    """One of somebody else's making is used as it is: no partition, no other description, no other index."""
    create(milvus, index.collection, description="mine")
    add_index(milvus, index.collection, "HAMMING")
    index.upsert([ROW])
    assert index.lookup({ROW.id: 7}, fresh=True) == {ROW.id: ROW}
    (hits,) = index.search([bytes(8)], Scope(7, fresh=True), 5)
    assert [hit.meta_id for hit in hits] == [1]
    index.delete({ROW.id: 7})
    assert index.counts() == {index.collection: 0}
    assert milvus.list_partitions(index.collection) == ["_default"]
    assert milvus.describe_collection(index.collection)["description"] == "mine"


def test_the_articles_collection_is_refused(index: MilvusIndex, milvus: MilvusClient) -> None:
    """Everything that differs is said at once, and nothing is written."""
    create(milvus, index.collection, article=True)
    with pytest.raises(Misconfigured) as refused:
        index.upsert([ROW])
    for said in ("object_key is missing", "content_crc is missing", "id is made by Milvus (auto_id)", "metric"):
        assert said in str(refused.value)


@pytest.mark.parametrize(
    ("made", "metric", "said"),
    [
        ({"bits": 128}, "HAMMING", "128 bits, not 64"),
        ({}, "JACCARD", "metric"),
        ({"description": made_here(PROFILES["phash"], 0).dump()}, "HAMMING", "profile phash, not ahash"),
    ],
)
def test_what_differs_is_said(
    index: MilvusIndex, milvus: MilvusClient, made: dict[str, Any], metric: str, said: str
) -> None:
    """Vectors of another length, another metric, or hashes of another profile are refused."""
    create(milvus, index.collection, **made)
    add_index(milvus, index.collection, metric)
    with pytest.raises(Misconfigured, match=said):
        index.lookup({ROW.id: 7})


def test_a_half_made_collection_is_completed(index: MilvusIndex, milvus: MilvusClient) -> None:
    """A worker that was killed between two steps of making it leaves it to the next."""
    create(milvus, index.collection, description=made_here(AHASH, 3).dump())
    milvus.create_partition(index.collection, "tenant_1")
    index.upsert([ROW])
    assert set(milvus.list_partitions(index.collection)) == {"_default", "tenant_0", "tenant_1", "tenant_2"}
    assert index.counts() == {index.collection: 1}


def test_a_dropped_collection_is_made_again(index: MilvusIndex, milvus: MilvusClient) -> None:
    """The first call after the drop fails as transient, the one after it succeeds."""
    index.upsert([ROW])
    milvus.drop_collection(index.collection)
    with pytest.raises(Transient):
        index.upsert([ROW])
    index.upsert([ROW])
    assert index.counts() == {index.collection: 1}


@pytest.mark.parametrize(
    ("made", "said"),
    [({"article": True}, "object_key is missing"), ({"bits": 128}, "128 bits, not 64"), ({"key_bytes": 3}, "3 bytes")],
)
def test_a_collection_that_was_replaced_is_not_held_against_the_rows(
    index: MilvusIndex, milvus: MilvusClient, made: dict[str, Any], said: str
) -> None:
    """Where one that would refuse every row took its place, no row is to blame: it is the configuration."""
    index.upsert([ROW])
    milvus.drop_collection(index.collection)
    create(milvus, index.collection, **made)
    add_index(milvus, index.collection, "HAMMING")
    with pytest.raises(Misconfigured, match=said):
        index.upsert([ROW, replace(ROW, id=8)])
    with pytest.raises(Misconfigured, match=said):
        index.upsert([ROW])


def test_a_collection_that_was_replaced_by_one_that_fits_is_used(index: MilvusIndex, milvus: MilvusClient) -> None:
    """Its partitions are its own: the first call after the change fails as transient, the one after it succeeds."""
    index.upsert([ROW])
    milvus.drop_collection(index.collection)
    create(milvus, index.collection)
    add_index(milvus, index.collection, "HAMMING")
    with pytest.raises(Transient):
        index.upsert([ROW])
    index.upsert([ROW])
    assert index.counts() == {index.collection: 1}


def test_a_server_that_is_not_there_is_transient(settings: WorkerSettings, free_port: int) -> None:
    """Nothing listens: it may come up later."""
    away = settings.model_copy(update={"milvus_uri": f"http://127.0.0.1:{free_port}"})
    with pytest.raises(Transient):
        MilvusIndex(MilvusConnection(away), away, AHASH).lookup({1: 1})
