"""The groups of a tenant through the queue, with real pictures, and with a worker that dies on the way."""

import io
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from celery import Celery
from PIL import Image

from contract import DUPLICATES, QUEUES, VERSION
from producer import Client
from tests.corpus import photos
from tests.integration.conftest import client_settings
from tests.integration.processes import ADDRESSES, Worker, on_own_databases, settled
from worker.adapters.oss import OssObjectStore

COMPANY = 31


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


def test_groups_outlive_their_worker(
    start: Callable[[str], Worker], environment: Mapping[str, str], keys: list[str]
) -> None:
    """A worker is killed and another goes on; what was decided is respected, and what was deleted is gone."""
    settings = client_settings(environment)
    call = {"company_id": COMPANY, "max_distance": 8, "version": VERSION}
    plain = Celery("plain", broker=settings.broker_url, backend=settings.result_backend_url, set_as_current=False)
    with Client(settings) as client, plain as app:
        with start("first") as first:
            client.enqueue_many(
                {"object_key": key, "meta_id": meta_id, "company_id": COMPANY} for meta_id, key in enumerate(keys)
            )
            settled(client)
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
