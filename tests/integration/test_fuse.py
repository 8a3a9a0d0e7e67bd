"""A worker where nothing can succeed stops, says why, and goes on by itself when that is mended."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from pymilvus import DataType, MilvusClient

from devstack.oss import Fault, FaultClient
from producer import Client, Status
from tests.corpus import photos
from tests.integration.conftest import client_settings
from tests.integration.processes import Worker, eventually, on_own_databases, settled
from worker.adapters.oss import OssObjectStore

# Nothing is tried again while a test looks, but soon after.
QUICK = {
    "LOOKALIKE_FUSE_PROBE_SECONDS": "0.5",
    "LOOKALIKE_FUSE_EVENTS": "20",
    "LOOKALIKE_FUSE_REST_SECONDS": "2",
    "LOOKALIKE_RETRY_CAP_SECONDS": "2",
    "LOOKALIKE_COLLECTION": "fuse",
}
EVENTS = 30


@pytest.fixture
def own_env(worker_env: Mapping[str, str]) -> Mapping[str, str]:
    """The stack with databases of Valkey for these tests alone, so that no other worker takes their messages."""
    return {**on_own_databases(worker_env, 13), **QUICK}


@pytest.fixture
def own_client(own_env: Mapping[str, str]) -> Iterator[Client]:
    """A client of these databases."""
    with Client(client_settings(own_env)) as client:
        yield client


@pytest.fixture
def own_milvus(milvus: MilvusClient) -> Iterator[MilvusClient]:
    """A client of Milvus, where the collection of these tests is not there at first, and goes at last."""
    milvus.drop_collection("fuse_ahash")
    yield milvus
    milvus.drop_collection("fuse_ahash")


@pytest.fixture
def worker(own_env: Mapping[str, str], own_client: Client, tmp_path: Path) -> Worker:
    """An ingest worker on these databases, to be entered."""
    assert own_client.outstanding() == 0
    return Worker(
        ["worker", "-l", "info", "-Q", "ingest", "-P", "threads", "-c", "2", "-n", "fused@%h"],
        own_env,
        tmp_path / "log",
    )


@pytest.fixture
def status(own_env: Mapping[str, str]) -> Callable[..., str]:
    """What `lookalike status` prints."""

    def ask(*options: str) -> str:
        # Nobody answers searches here.
        command = [str(Path(sys.executable).with_name("lookalike")), "status", "--timeout", "0.1", *options]
        return subprocess.run(command, env=dict(own_env), capture_output=True, text=True, check=True).stdout

    return ask


def rows(milvus: MilvusClient) -> int:
    """How many rows there are."""
    found = milvus.query("fuse_ahash", output_fields=["count(*)"], consistency_level="Strong")
    count: int = found[0]["count(*)"]
    return count


def upload(bucket: OssObjectStore, prefix: str) -> list[dict[str, Any]]:
    """Put pictures into the bucket, and say what their events are."""
    for n in range(EVENTS):
        bucket.put(f"{prefix}/{n}.png", photos()["coins.png"])
    return [{"object_key": f"{prefix}/{n}.png", "meta_id": n, "company_id": 1} for n in range(EVENTS)]


def events_of(worker: Worker) -> list[str]:
    """What the worker's log says of its fuse, but for the reminders."""
    logged = [line["event"] for line in worker.lines()]
    return [event for event in logged if event.startswith("fuse_") and event != "fuse_still_blown"]


def look(client: Client) -> Status:
    """The status, without waiting for the rows: nobody answers searches here."""
    return client.status(timeout=0)


def all_wait(client: Client) -> bool:
    """Whether a worker has stopped, and every message is back in the queue."""
    seen = look(client)
    return len(seen.fuses) == 1 and seen.queues["ingest"] == EVENTS


def asked_for(faults: FaultClient) -> set[str]:
    """The objects that were read, less those of other tests' events."""
    return {one.key for one in faults.requests() if one.method == "GET" and one.key.startswith("refused/")}


def test_a_bucket_that_refuses_stops_the_worker_until_it_does_not(
    own_client: Client,
    worker: Worker,
    status: Callable[..., str],
    bucket: OssObjectStore,
    faults: FaultClient,
    own_milvus: MilvusClient,
) -> None:
    """403 for every object: nothing is consumed or lost, all channels say why, and in the end all is indexed."""
    events = upload(bucket, "refused")
    faults.forget_requests()
    with worker:
        with faults.active(Fault("status", status=403, times=None)):
            own_client.enqueue_many(events, batch_size=1)
            eventually("all messages wait in the queue", lambda: all_wait(own_client))
            keys = asked_for(faults)
            asked = faults.count("GET")
            eventually("it is probed again", lambda: faults.count("GET") >= asked + 4)
            # One object is asked for, again and again; no other event was begun.
            assert asked_for(faults) == keys
            assert len(keys) <= 2
            assert all_wait(own_client)
            seen = json.loads(status("--json"))
            assert (seen["outstanding"], seen["dead"]) == (EVENTS, 0)
            (fuse,) = seen["fuses"]
            assert (fuse["worker"].partition("@")[0], fuse["cause"]) == ("fused", "misconfigured")
            assert "403 AccessDenied" in fuse["why"]
            assert f"{fuse['worker']} has stopped since {fuse['since']} (misconfigured): OSS says 403" in status()
            metric = r'^lookalike_fuse_blown\{cause="misconfigured",worker="fused@.+"\} 1\.0$'
            assert re.search(metric, status("--prometheus"), re.MULTILINE)
        settled(own_client)
        assert rows(own_milvus) == EVENTS
        eventually("it is whole", lambda: look(own_client).fuses == [])
        assert look(own_client).dead == 0
        assert events_of(worker) == ["fuse_blown", "fuse_mended"]


def test_one_refused_object_stops_nobody(
    own_client: Client, worker: Worker, bucket: OssObjectStore, faults: FaultClient, own_milvus: MilvusClient
) -> None:
    """Its event waits, all others are indexed; and it too, once it is allowed."""
    events = upload(bucket, "single")
    with worker:
        own_client.enqueue_many(events[:1])
        settled(own_client)
        with faults.active(Fault("status", status=403, key=events[7]["object_key"], times=None)) as rule:
            own_client.enqueue_many(events[1:], batch_size=5)
            eventually("all others are indexed", lambda: own_client.outstanding() == 1)
            eventually("it is asked for again", lambda: faults.hits(rule) >= 3)
            assert look(own_client).fuses == []
        settled(own_client)
        assert rows(own_milvus) == EVENTS
        assert events_of(worker) == []
        assert any(line["event"] == "object_refused" for line in worker.lines())


def test_another_schema_stops_the_worker_until_it_is_dropped(
    own_client: Client, worker: Worker, bucket: OssObjectStore, faults: FaultClient, own_milvus: MilvusClient
) -> None:
    """Nothing is read from OSS for rows that cannot be written; the collection is made once its name is free."""
    schema = own_milvus.create_schema(auto_id=True)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("image_vector", DataType.BINARY_VECTOR, dim=64)
    own_milvus.create_collection("fuse_ahash", schema=schema)
    events = upload(bucket, "schema")
    faults.forget_requests()
    with worker:
        own_client.enqueue_many(events, batch_size=1)
        eventually("all messages wait in the queue", lambda: all_wait(own_client))
        (fuse,) = look(own_client).fuses
        assert "the collection fuse_ahash does not fit" in fuse.why
        assert faults.count("GET") == 0
        own_milvus.drop_collection("fuse_ahash")
        settled(own_client)
        assert rows(own_milvus) == EVENTS
        assert look(own_client).dead == 0
        assert events_of(worker)[0] == "fuse_blown"
        assert events_of(worker)[-1] == "fuse_mended"


def test_too_many_dead_letters_stop_the_worker_for_a_while(
    own_client: Client, worker: Worker, bucket: OssObjectStore, own_milvus: MilvusClient
) -> None:
    """After 20 of them the rest waits; what is good goes through when it is tried again."""
    bucket.put("text.png", b"no picture")
    good = upload(bucket, "good")
    bad = [{"object_key": "text.png", "meta_id": 100 + n, "company_id": 1} for n in range(20)]
    with worker:
        own_client.enqueue_many(bad, batch_size=20)
        eventually("it has stopped", lambda: events_of(worker) == ["fuse_blown"])
        own_client.enqueue_many(good, batch_size=5)
        settled(own_client)
        assert rows(own_milvus) == EVENTS
        assert look(own_client).dead == 20
        assert events_of(worker) == ["fuse_blown", "fuse_mended"]


def test_a_worker_that_ends_is_named_no_longer(
    own_client: Client, worker: Worker, bucket: OssObjectStore, faults: FaultClient
) -> None:
    """A blown fuse holds up no shutdown, and the next worker begins whole."""
    events = upload(bucket, "ends")
    with faults.active(Fault("status", status=403, times=None)), worker:
        own_client.enqueue_many(events, batch_size=1)
        eventually("it has stopped", lambda: len(look(own_client).fuses) == 1)
    assert look(own_client).fuses == []
    assert own_client.outstanding() == EVENTS
    with worker:
        settled(own_client)


def test_a_worker_that_has_stopped_stays_so_when_it_reconnects(
    own_client: Client, own_env: Mapping[str, str], worker: Worker, bucket: OssObjectStore, faults: FaultClient
) -> None:
    """Its connections are cut while it is blown: it comes back, takes nothing, and goes on when it is mended."""
    events = upload(bucket, "reconnects")
    with worker:
        with faults.active(Fault("status", status=403, times=None)):
            own_client.enqueue_many(events, batch_size=1)
            eventually("all messages wait in the queue", lambda: all_wait(own_client))
            with redis.Redis.from_url(own_env["LOOKALIKE_BROKER_URL"]) as server:
                for one in server.client_list():
                    if one["db"] == "13" and one["id"] != str(server.client_id()):
                        server.client_kill_filter(_id=one["id"])
            lost = "Connection to broker lost"
            eventually("it has noticed", lambda: any(lost in line["event"] for line in worker.lines()))
            with Client(client_settings(own_env)) as another:
                eventually("it answers again", lambda: look(another).workers == 1)
                assert all_wait(another)
        settled(own_client)
        assert events_of(worker) == ["fuse_blown", "fuse_mended"]


def test_in_a_pool_of_processes_the_parent_stops(
    own_client: Client, own_env: Mapping[str, str], tmp_path: Path, bucket: OssObjectStore, faults: FaultClient
) -> None:
    """The fuse is in the child that works, the consumption in the parent; a killed child leaves no idle worker."""
    events = upload(bucket, "prefork")
    arguments = ["worker", "-l", "info", "-Q", "ingest", "-P", "prefork", "-c", "1", "-n", "forked@%h"]
    with Worker(arguments, own_env, tmp_path / "log") as worker:
        with faults.active(Fault("status", status=403, times=None)):
            own_client.enqueue_many(events, batch_size=1)
            eventually("all messages wait in the queue", lambda: all_wait(own_client))
            assert [fuse.worker.partition("@")[0] for fuse in look(own_client).fuses] == ["forked"]
            (child,) = psutil.Process(worker.pid).children()
            child.kill()
            eventually("its successor has tried", lambda: events_of(worker) == ["fuse_blown"] * 2)
            eventually("all messages wait again", lambda: all_wait(own_client))
        settled(own_client)
    assert look(own_client).dead == 0
