"""What dies with a message in its hands leaves nothing behind."""

import json
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import redis
from pymilvus import MilvusClient

from devstack import Stack
from devstack.oss import Fault, FaultClient
from producer import Client
from tests.corpus import photos
from tests.integration.conftest import client_settings
from tests.integration.processes import ADDRESSES, Worker, eventually, on_own_databases, settled, swept
from worker.adapters.oss import OssObjectStore

# Short enough for a test: a lease of 2 s, 3 s until a batch that nobody has begun on counts as lost.
QUICK = {"LOOKALIKE_LEASE_SECONDS": "2", "LOOKALIKE_OVERDUE_SECONDS": "3", "LOOKALIKE_COLLECTION": "recovery"}


@pytest.fixture
def own_env(worker_env: Mapping[str, str]) -> Mapping[str, str]:
    """The stack with databases of Valkey for these tests alone, so that no other worker takes their messages."""
    return {**on_own_databases(worker_env, 10), **QUICK}


@pytest.fixture
def start(own_env: Mapping[str, str], tmp_path: Path) -> Callable[..., Worker]:
    """Makes processes of Celery that have these databases."""

    def make(*arguments: str) -> Worker:
        return Worker(list(arguments), own_env, tmp_path / f"log-{arguments[-1]}")

    return make


@pytest.fixture
def own_client(own_env: Mapping[str, str]) -> Iterator[Client]:
    """A client of these databases."""
    with Client(client_settings(own_env)) as client:
        yield client


@pytest.fixture
def _upkeep(start: Callable[..., Worker], own_env: Mapping[str, str]) -> Iterator[None]:
    """Have the ledger swept every second, and a worker that sweeps."""
    with swept(own_env), start("worker", "-Q", "search", "-P", "threads", "-c", "2", "-n", "search@%h"):
        yield


def rows(milvus: MilvusClient) -> int:
    """How many rows the events of a killed worker have made."""
    found = milvus.query(
        "recovery_ahash", filter="meta_id < 20", output_fields=["count(*)"], consistency_level="Strong"
    )
    count: int = found[0]["count(*)"]
    return count


def test_beat_needs_the_addresses_of_redis_and_nothing_else(
    own_client: Client, own_env: Mapping[str, str], tmp_path: Path
) -> None:
    """It asks for sweeps, logs in the same form, and is given no secret."""
    assert own_client.outstanding() == 0
    with Worker(["beat", "-l", "info"], {name: own_env[name] for name in ADDRESSES}, tmp_path / "log") as beat:
        with redis.Redis.from_url(own_env["LOOKALIKE_BROKER_URL"]) as broker:
            eventually("a sweep is asked for", lambda: broker.llen("search") == 1)
        assert any(line["logger"] == "celery.beat" for line in beat.lines())


@pytest.mark.usefixtures("_upkeep")
def test_a_killed_workers_batches_are_done_by_another(
    own_client: Client,
    start: Callable[..., Worker],
    bucket: OssObjectStore,
    faults: FaultClient,
    milvus: MilvusClient,
) -> None:
    """Kill -9 in the middle of downloads: long before Celery would deliver again, another worker has done it all."""
    for n in range(20):
        bucket.put(f"killed/{n}.png", photos()["coins.png"])
    events = [{"object_key": f"killed/{n}.png", "meta_id": n, "company_id": 1} for n in range(20)]
    with (
        faults.active(Fault("stall", prefix="killed/", times=None)),
        start("worker", "-Q", "ingest", "-P", "threads", "-c", "8", "-n", "first@%h") as first,
    ):
        own_client.enqueue_many(events, batch_size=5)
        eventually("downloads hang", lambda: faults.count("GET") >= 4)
        first.send(signal.SIGKILL)
    with start("worker", "-Q", "ingest", "-P", "threads", "-c", "8", "-n", "second@%h"):
        settled(own_client)
    assert rows(milvus) == 20
    assert own_client.status().dead == 0


@pytest.mark.usefixtures("_upkeep")
def test_a_message_that_was_popped_and_not_recorded_is_found_again(
    own_client: Client,
    own_env: Mapping[str, str],
    start: Callable[..., Worker],
    bucket: OssObjectStore,
) -> None:
    """A worker that is killed between its pop and its record leaves a ledger entry, and that is enough."""
    bucket.put("popped.png", photos()["rocket.jpg"])
    own_client.enqueue("popped.png", meta_id=100, company_id=1)
    with redis.Redis.from_url(own_env["LOOKALIKE_BROKER_URL"]) as broker:
        popped = broker.rpop("ingest")
    assert isinstance(popped, bytes)
    assert json.loads(popped)["headers"]["task"] == "lookalike.ingest"
    with start("worker", "-Q", "ingest", "-P", "threads", "-c", "2", "-n", "only@%h"):
        settled(own_client)
    assert own_client.search(meta_id=100, company_id=1, fresh=True)["matches"][0]["object_key"] == "popped.png"


@pytest.mark.usefixtures("_upkeep")
def test_a_worker_that_is_told_to_stop_hands_back_what_it_cannot_finish(
    own_client: Client,
    own_env: Mapping[str, str],
    tmp_path: Path,
    bucket: OssObjectStore,
    faults: FaultClient,
) -> None:
    """SIGTERM in the middle of a download that never ends: the next worker has the event although the lease is long."""
    patient = {**own_env, "LOOKALIKE_LEASE_SECONDS": "600", "LOOKALIKE_OSS_TIMEOUT": "100"}
    ingest = ["worker", "-Q", "ingest", "-P", "threads", "-c", "2", "-n"]
    slow = Worker([*ingest, "slow@%h"], patient | {"LOOKALIKE_SHUTDOWN_SECONDS": "1"}, tmp_path / "log-slow")
    bucket.put("stop.png", photos()["coins.png"])
    with faults.active(Fault("stall", key="stop.png", times=None)), slow:
        own_client.enqueue("stop.png", meta_id=200, company_id=2)
        eventually("the download hangs", lambda: faults.count("GET", "stop.png") > 0)
    assert "shutdown_given_up" in [line["event"] for line in slow.lines()]
    with Worker([*ingest, "next@%h"], patient, tmp_path / "log-next"):
        settled(own_client)
    assert own_client.search(meta_id=200, company_id=2, fresh=True)["matches"][0]["object_key"] == "stop.png"


def test_a_worker_outlives_its_broker(
    own_env: Mapping[str, str], tmp_path: Path, bucket: OssObjectStore, faults: FaultClient
) -> None:
    """Valkey is killed while messages are in hand: the same process goes on when it is back, and nothing is lost."""
    bucket.put("outlive.png", photos()["coins.png"])
    arguments = ["worker", "-Q", "ingest,search", "-P", "threads", "-c", "4", "-n", "survivor@%h"]
    with Stack(tmp_path / "stack", services=("valkey",)) as stack:
        environment = {**own_env, **{name: stack.env[name] for name in ADDRESSES}}
        with Client(client_settings(environment)) as client, Worker(arguments, environment, tmp_path / "log") as worker:
            for round_ in range(3):
                with faults.active(Fault("stall", key="outlive.png", times=None)):
                    faults.forget_requests()
                    events = [
                        {"object_key": "outlive.png", "meta_id": 300 + 10 * round_ + n, "company_id": 3}
                        for n in range(8)
                    ]
                    client.enqueue_many(events, batch_size=1)
                    eventually("downloads hang", lambda: faults.count("GET", "outlive.png") >= 4)
                    stack.kill("valkey")
                    stack.wait_ready("valkey")
            with swept(environment):
                settled(client)
            assert not worker.has_ended
            assert client.status().dead == 0
