"""The groups of a tenant through the queue, with real pictures, and with a worker that dies on the way."""

import io
import signal
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from celery import Celery
from PIL import Image

from contract import DUPLICATES, QUEUES, VERSION
from contract.duplicates import DuplicatesResult
from producer import Client
from tests.corpus import photos
from tests.integration.conftest import client_settings
from tests.integration.processes import ADDRESSES, Worker, on_own_databases, settled
from worker.adapters.milvus import MilvusConnection, MilvusIndex
from worker.adapters.oss import OssObjectStore
from worker.ports import Row
from worker.settings import WorkerSettings
from worker.testing import make_row

COMPANY = 31
MANY_COMPANY = 32
MANY = 100_000


def resaved(body: bytes) -> bytes:
    """The same picture in fewer bytes."""
    out = io.BytesIO()
    with Image.open(io.BytesIO(body)) as picture:
        picture.convert("RGB").resize((picture.width * 3 // 4, picture.height * 3 // 4)).save(out, "JPEG", quality=80)
    return out.getvalue()


@pytest.fixture
def keys(bucket: OssObjectStore) -> list[str]:
    """The keys of some photos, of a smaller copy of each, and of another photo without one."""
    names = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg")
    keys = []
    for name in names:
        bucket.put(f"duplicates/{name}", photos()[name])
        keys.append(f"duplicates/{name}")
    for name in names[:3]:
        bucket.put(f"duplicates/small/{name}", resaved(photos()[name]))
        keys.append(f"duplicates/small/{name}")
    return keys


@pytest.fixture
def environment(stack_env: Mapping[str, str]) -> Mapping[str, str]:
    """Queues and a ledger that no other worker looks at."""
    return on_own_databases(stack_env, 9)


@pytest.fixture
def start(
    start_worker: Callable[..., Worker], environment: Mapping[str, str], tmp_path: Path
) -> Callable[[str], Worker]:
    """Makes a worker of all queues, with a Redis database and a collection of its own."""
    return lambda name: start_worker(
        *("-Q", "ingest,search", "-P", "threads", "-c", "4", "-n", f"{name}@%h"),
        log=tmp_path / name,
        LOOKALIKE_HASH="phash",
        LOOKALIKE_COLLECTION="duplicates",
        **{name: environment[name] for name in ADDRESSES},
    )


def many_rows() -> tuple[list[Row], set[frozenset[int]]]:
    """100,000 pictures of which 1,500 are two or three of a kind, and which these are."""
    random = np.random.default_rng(8)
    vectors = random.integers(0, 256, (MANY, 8), dtype=np.uint8)
    groups = random.choice(MANY, (500, 3), replace=False)
    for n, (first, *others) in enumerate(groups.tolist()):
        for bit, other in enumerate(others[: 1 + n % 2]):
            vectors[other] = vectors[first]
            vectors[other, bit] ^= 1
    kinds = {frozenset(group[: 2 + n % 2]) for n, group in enumerate(groups.tolist())}
    rows = [
        make_row(n, MANY_COMPANY, vector=one.tobytes(), profile="phash", object_key=f"{n}.jpg")
        for n, one in enumerate(vectors)
    ]
    return rows, kinds


def test_a_job_goes_on_where_a_killed_worker_was(
    start: Callable[[str], Worker], environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of comparing 100,000 pictures; what was read and compared by then is not done again."""
    for name, value in {**environment, "LOOKALIKE_COLLECTION": "duplicates", "LOOKALIKE_HASH": "phash"}.items():
        monkeypatch.setenv(name, value)
    settings = WorkerSettings.from_env()
    rows, kinds = many_rows()
    with closing(MilvusConnection(settings)) as connection:
        index = MilvusIndex(connection, settings, settings.profiles[0])
        for begin in range(0, MANY, 20_000):
            index.upsert(rows[begin : begin + 20_000])
    seen: list[tuple[str, int]] = []
    killed: list[int] = []
    workers = ExitStack()

    def watch(result: DuplicatesResult) -> None:
        seen.append((result["state"], result["done"]))
        if len([done for state, done in seen if state == "comparing" and done]) == 1 and not killed:
            killed.append(result["done"])
            first.send(signal.SIGKILL)
            workers.enter_context(start("after"))

    with workers, start("before") as first, Client(client_settings(environment)) as client:
        # What is sent before the kernel has closed the dead worker's sockets is lost with it, and sent again.
        groups = list(client.duplicates(MANY_COMPANY, max_distance=2, progress=watch, timeout=15))
    assert {frozenset(member["meta_id"] for member in group["members"]) for group in groups} == kinds
    compared = [done for state, done in seen if state == "comparing"]
    assert killed, "it was killed after the first step of comparing"
    assert 0 < killed[0] < MANY * (MANY - 1) // 2
    assert compared == sorted(compared)
    assert [state for state, _ in seen].index("comparing") == max(
        (n for n, (state, _) in enumerate(seen) if state == "reading"), default=-1
    ) + 1


def test_groups_outlive_their_worker(
    start: Callable[[str], Worker], environment: Mapping[str, str], keys: list[str]
) -> None:
    """A worker is killed and another answers; what was decided is respected, and what was deleted is gone."""
    settings = client_settings(environment)
    call = {"company_id": COMPANY, "max_distance": 8, "version": VERSION}
    plain = Celery("plain", broker=settings.broker_url, backend=settings.result_backend_url, set_as_current=False)
    with Client(settings) as client, plain as app:
        with start("first") as first:
            client.enqueue_many(
                {"object_key": key, "meta_id": meta_id, "company_id": COMPANY} for meta_id, key in enumerate(keys)
            )
            settled(client)
            answer: dict[str, Any] = {"state": ""}
            while answer["state"] != "done":  # a slow machine needs several parts
                answer = app.send_task(DUPLICATES, kwargs=call, queue=QUEUES[DUPLICATES]).get(60)
            assert (answer["hash"], answer["state"], answer["groups"]) == ("phash", "done", 3)
            pages = client.duplicates(COMPANY, max_distance=8)
            one = next(pages)
            first.send(signal.SIGKILL)
        with start("second"):
            groups = [one, *pages]
            found = {frozenset(member["meta_id"] for member in group["members"]) for group in groups}
            assert found == {frozenset([0, 4]), frozenset([1, 5]), frozenset([2, 6])}
            for group in groups:
                assert group["members"][0]["id"] == group["representative"]
                assert {member["object_key"] for member in group["members"]} == {
                    keys[member["meta_id"]] for member in group["members"]
                }
            client.decide(company_id=COMPANY, not_duplicates=[(4, 0)])
            client.delete([{"meta_id": 5, "company_id": COMPANY}])
            (left,) = client.duplicates(COMPANY, max_distance=8)
            assert {member["meta_id"] for member in left["members"]} == {2, 6}
            assert len(list(client.duplicates(COMPANY))) <= 1, "at the distance of the usual chance"
