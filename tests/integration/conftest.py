"""The stack that all integration tests share, and real workers on it."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from celery import Celery
from pymilvus import MilvusClient

from devstack.oss import FaultClient
from devstack.ports import reserve
from producer import Client, ClientSettings
from tests.integration.processes import Worker
from worker.adapters.oss import OssObjectStore
from worker.settings import WorkerSettings

MAX_IMAGE_BYTES = 8_000_000


@pytest.fixture(scope="session")
def collection() -> str:
    """The collection of the workers that these tests share."""
    return "shared_ahash"


@pytest.fixture(scope="session")
def worker_env(stack_env: Mapping[str, str]) -> Mapping[str, str]:
    """The stack's variables, with limits that a test can reach."""
    return {
        **stack_env,
        "LOOKALIKE_COLLECTION": "shared",
        "LOOKALIKE_PARTITIONS": "4",
        "LOOKALIKE_MAX_IMAGE_BYTES": str(MAX_IMAGE_BYTES),
        "LOOKALIKE_OSS_TIMEOUT": "5",
        "LOOKALIKE_RETRY_CAP_SECONDS": "10",
    }


@pytest.fixture(scope="session")
def start_worker(worker_env: Mapping[str, str]) -> Callable[..., Worker]:
    """Makes `celery -A worker worker ...` processes, to be entered."""

    def make(*arguments: str, log: Path, **variables: str) -> Worker:
        return Worker(["worker", "-l", "info", *arguments], {**worker_env, **variables}, log)

    return make


@pytest.fixture(scope="session")
def metrics_ports() -> Iterator[Mapping[str, int]]:
    """Where each process of these tests that is to tell its figures tells them."""
    with reserve(("ingest", "search", "quarantine", "beat", "listener", "exporter"), {}) as ports:
        yield ports


@pytest.fixture(scope="session")
def ingest_worker(
    start_worker: Callable[..., Worker], metrics_ports: Mapping[str, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    """The ingest worker that these tests share."""
    log = tmp_path_factory.mktemp("ingest") / "log"
    command = ("-Q", "ingest", "-P", "threads", "-c", "16", "-n", "ingest@%h")
    with start_worker(*command, log=log, LOOKALIKE_METRICS_PORT=str(metrics_ports["ingest"])) as worker:
        yield worker


@pytest.fixture(scope="session")
def search_worker(
    start_worker: Callable[..., Worker], metrics_ports: Mapping[str, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    """The search worker that these tests share."""
    log = tmp_path_factory.mktemp("search") / "log"
    command = ("-Q", "search", "-P", "threads", "-c", "4", "-n", "search@%h")
    with start_worker(*command, log=log, LOOKALIKE_METRICS_PORT=str(metrics_ports["search"])) as worker:
        yield worker


@pytest.fixture(scope="session")
def client(ingest_worker: Worker, search_worker: Worker, worker_env: Mapping[str, str]) -> Iterator[Client]:
    """An application's client, with workers at work."""
    assert ingest_worker is not search_worker
    with Client(client_settings(worker_env)) as client:
        yield client


def client_settings(environment: Mapping[str, str]) -> ClientSettings:
    """What a client reads from an environment, without its being this process'."""
    known = {f"LOOKALIKE_{name.upper()}": name for name in ClientSettings.model_fields}
    return ClientSettings.model_validate({known[name]: environment[name] for name in known if name in environment})


@pytest.fixture(scope="session")
def celery_only(client: Client, worker_env: Mapping[str, str]) -> Iterator[Celery]:
    """An application that has nothing of ours, with workers at work."""
    assert client is not None
    with Celery(
        "somebody",
        broker=worker_env["LOOKALIKE_BROKER_URL"],
        backend=worker_env["LOOKALIKE_RESULT_BACKEND_URL"],
        set_as_current=False,
    ) as app:
        yield app


@pytest.fixture
def bucket(worker_env: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[OssObjectStore]:
    """The bucket, to put pictures into."""
    own = {"LOOKALIKE_MAX_IMAGE_BYTES": "100000000", "LOOKALIKE_OSS_TIMEOUT": "60"}
    for name, value in {**worker_env, **own}.items():
        monkeypatch.setenv(name, value)
    store = OssObjectStore.from_settings(WorkerSettings.from_env())
    yield store
    store.close()


@pytest.fixture
def milvus(worker_env: Mapping[str, str]) -> Iterator[MilvusClient]:
    """A client of Milvus, to look at the rows themselves."""
    made = MilvusClient(worker_env["LOOKALIKE_MILVUS_URI"], dedicated=True)
    yield made
    made.close()


@pytest.fixture
def faults(worker_env: Mapping[str, str]) -> Iterator[FaultClient]:
    """Breaks and counts requests to the bucket."""
    made = FaultClient(worker_env["LOOKALIKE_OSS_ENDPOINT"])
    made.forget_requests()
    yield made
    made.clear()
