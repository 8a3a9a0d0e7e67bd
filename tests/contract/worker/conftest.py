"""One worker's settings against the real servers, with a collection of its own for each test."""

from collections.abc import Iterator, Mapping
from uuid import uuid4

import pytest
from pymilvus import MilvusClient

from worker.settings import WorkerSettings


@pytest.fixture
def milvus(stack_env: Mapping[str, str]) -> Iterator[MilvusClient]:
    """A client of the stack's Milvus, to look behind the adapter's back."""
    client = MilvusClient(stack_env["LOOKALIKE_MILVUS_URI"], dedicated=True)
    yield client
    client.close()


@pytest.fixture
def settings(
    stack_env: Mapping[str, str], milvus: MilvusClient, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WorkerSettings]:
    """What a worker reads from the environment; its collection is nobody else's, and goes when the test ends."""
    collection = f"t{uuid4().hex[:12]}"
    # A partition takes 0.2 s to make.
    for name, value in {**stack_env, "LOOKALIKE_COLLECTION": collection, "LOOKALIKE_PARTITIONS": "4"}.items():
        monkeypatch.setenv(name, value)
    yield WorkerSettings.from_env()
    for name in milvus.list_collections():
        if name.startswith(collection):
            milvus.drop_collection(name)
