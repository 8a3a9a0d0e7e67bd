"""A bucket that is full already, through the real stack, whoever is killed meanwhile."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import redis
from PIL import Image
from pymilvus import MilvusClient

from contract import INGEST_QUEUE, SEARCH_QUEUE, Reason, ServiceMisconfigured
from devstack.oss import Fault, FaultClient
from producer import Client
from tests.corpus import encode
from tests.integration.conftest import client_settings
from tests.integration.processes import ADDRESSES, Worker, eventually, on_own_databases, settled
from worker.adapters.oss import OssObjectStore

PROGRAM = str(Path(sys.executable).parent / "lookalike")
PICTURE = encode(Image.linear_gradient("L").resize((8, 8)), "PNG")
OBJECTS = 6000
TEMPLATE = "{__}/{company_id}/{meta_id}.png"
COLLECTION = "filled"


@pytest.fixture
def environment(stack_env: Mapping[str, str]) -> Mapping[str, str]:
    """Queues and a ledger that no other worker looks at."""
    return {
        **on_own_databases(stack_env, 9),
        "LOOKALIKE_COLLECTION": COLLECTION,
        "LOOKALIKE_KEY_TEMPLATE": TEMPLATE,
    }


@pytest.fixture
def start(
    start_worker: Callable[..., Worker], environment: Mapping[str, str], tmp_path: Path
) -> Callable[[str], Worker]:
    """Makes a worker of a queue."""
    names = count()
    ours = (*ADDRESSES, "LOOKALIKE_COLLECTION", "LOOKALIKE_KEY_TEMPLATE")

    def make(queue: str) -> Worker:
        name = f"{queue}{next(names)}"
        options = ("-Q", queue, "-P", "threads", "-c", "4", "-n", f"{name}@%h")
        return start_worker(*options, log=tmp_path / name, **{name: environment[name] for name in ours})

    return make


@pytest.fixture
def client(environment: Mapping[str, str]) -> Iterator[Client]:
    """A client of the same ledger."""
    with Client(client_settings(environment)) as client:
        yield client


def fill(bucket: OssObjectStore, prefix: str, number: int) -> list[str]:
    """Put so many objects, and name them."""
    keys = [f"{prefix}/7/{n}.png" for n in range(number)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: bucket.put(key, PICTURE), keys))
    return keys


def enqueued(environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """The events that the ledger holds."""
    with redis.Redis.from_url(environment["LOOKALIKE_LEDGER_URL"], decode_responses=True) as server:
        batches = [json.loads(str(server.hget(str(key), "events"))) for key in server.scan_iter("{lookalike}:batch:*")]
    return [event for batch in batches for event in batch]


def command(environment: Mapping[str, str], *arguments: str) -> "subprocess.Popen[str]":
    """Begin `lookalike backfill`."""
    return subprocess.Popen(
        [PROGRAM, "backfill", "--json", "--no-wait", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_nothing_is_skipped_whoever_is_killed(
    start: Callable[[str], Worker], environment: Mapping[str, str], bucket: OssObjectStore, client: Client
) -> None:
    """The command and the worker, in turn, in the middle; every key is enqueued at least once."""
    keys = fill(bucket, "killed", OBJECTS)
    asked = ("--prefix", "killed/", "--rate", "800")
    for step in range(4):
        before = client.outstanding()
        with start(SEARCH_QUEUE) as worker:
            running = command(environment, *asked)
            eventually("some more are enqueued", lambda before=before: client.outstanding() > before)  # type: ignore[misc]
            if step % 2:
                worker.send(signal.SIGKILL)
            running.kill()
            running.communicate(timeout=30)
    assert 0 < client.outstanding() < OBJECTS, "it was killed in the middle"
    with start(SEARCH_QUEUE):
        out, err = command(environment, "--prefix", "killed/").communicate(timeout=120)
    told = json.loads(out)
    assert (err, told["prefixes"][0]["done"]) == ("", True)
    events = enqueued(environment)
    assert {event["object_key"] for event in events} == set(keys)
    assert all(event["company_id"] == 7 for event in events)
    assert len(events) < 2 * OBJECTS, "it went on where it was"


def test_a_bucket_becomes_rows(
    start: Callable[[str], Worker],
    environment: Mapping[str, str],
    bucket: OssObjectStore,
    client: Client,
    milvus: MilvusClient,
) -> None:
    """Of several prefixes at once; what is nobody's is a dead letter, and a folder is nothing."""
    keys = fill(bucket, "rows/a", 150) + fill(bucket, "rows/b", 250)
    bucket.put("rows/b/nobodys.png", PICTURE)
    bucket.put("rows/b/", b"")
    prefixes = ("--prefix", "rows/a/", "--prefix", "rows/b/")
    with start(INGEST_QUEUE), start(SEARCH_QUEUE):
        out, err = command(environment, *prefixes, "--dry-run").communicate(timeout=120)
        assert (err, json.loads(out)["enqueued"], client.outstanding()) == ("", 401, 0)
        out, _ = command(environment, *prefixes).communicate(timeout=120)
        told = json.loads(out)
        assert (told["read"], told["enqueued"], told["skipped"]) == (402, 401, 1)
        settled(client)
        (letter,) = client.dead_letters()
        assert (letter.event, letter.reason) == ({"object_key": "rows/b/nobodys.png", "source": "oss"}, Reason.UNMAPPED)
    found = milvus.query(f"{COLLECTION}_ahash", output_fields=["object_key"], limit=1000, consistency_level="Strong")
    assert {row["object_key"] for row in found} <= set(keys)
    assert len(found) == 250, "both prefixes name the same pictures"


def test_limit_and_since(start: Callable[[str], Worker], bucket: OssObjectStore, client: Client) -> None:
    """From Python, with what OSS says of the time."""
    fill(bucket, "some", 300)
    begun = datetime.now(UTC)
    with start(SEARCH_QUEUE):
        assert client.backfill("some/", limit=120)["enqueued"] == 120
        assert client.outstanding() == 120
        assert client.backfill("some/", since=begun + timedelta(hours=1))["skipped"] == 300
        assert client.backfill("some/", since=begun - timedelta(hours=1), dry_run=True)["enqueued"] == 300


def test_a_bucket_that_may_not_be_listed(start: Callable[[str], Worker], client: Client, faults: FaultClient) -> None:
    """It is said at once, not after minutes of trying; what fails for a moment is tried again."""
    with start(SEARCH_QUEUE):
        faults.add(Fault("status", key="", status=403, times=1))
        with pytest.raises(ServiceMisconfigured, match="403 AccessDenied"):
            client.backfill("none/")
        faults.add(Fault("status", key="", status=503, times=1))
        assert client.backfill("none/")["done"]
