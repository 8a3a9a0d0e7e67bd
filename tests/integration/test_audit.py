"""An audit through the real stack: what was planted is found, mended, and not found again."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from contract import INGEST_QUEUE, SEARCH_QUEUE
from producer import Client
from tests.corpus import encode
from tests.integration.conftest import client_settings
from tests.integration.processes import ADDRESSES, Worker, on_own_databases, settled
from worker.adapters.oss import OssObjectStore

PROGRAM = str(Path(sys.executable).parent / "lookalike")
TEMPLATE = "audited/{company_id}/{meta_id}/{_}.png"
KINDS = ("missing", "changed", "orphaned", "unmapped", "dead")


@pytest.fixture
def environment(stack_env: Mapping[str, str]) -> Mapping[str, str]:
    """Queues and a ledger that no other worker looks at, and a collection of its own."""
    return {
        **on_own_databases(stack_env, 9),
        "LOOKALIKE_COLLECTION": "audited",
        "LOOKALIKE_KEY_TEMPLATE": TEMPLATE,
    }


@pytest.fixture
def workers(start_worker: Callable[..., Worker], environment: Mapping[str, str], tmp_path: Path) -> Iterator[Worker]:
    """A worker of all queues."""
    names = (*ADDRESSES, "LOOKALIKE_COLLECTION", "LOOKALIKE_KEY_TEMPLATE")
    options = ("-Q", f"{INGEST_QUEUE},{SEARCH_QUEUE}", "-P", "threads", "-c", "8", "-n", "audited@%h")
    with start_worker(*options, log=tmp_path / "log", **{name: environment[name] for name in names}) as worker:
        yield worker


@pytest.fixture
def client(environment: Mapping[str, str]) -> Iterator[Client]:
    """A client of the same ledger."""
    with Client(client_settings(environment)) as client:
        yield client


def picture(seed: int) -> bytes:
    """Some picture."""
    return encode(Image.linear_gradient("L").rotate(seed).resize((16, 16)).convert("RGB"), "PNG")


def run(environment: Mapping[str, str], *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run the command to its end."""
    done = subprocess.run(
        [
            PROGRAM,
            "audit",
            "--prefix",
            "audited/",
            "--json",
            *(() if "--out" in arguments else ("--no-lists",)),
            *arguments,
        ],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == "", done.stderr
    return done.returncode, json.loads(done.stdout)


def test_what_was_planted_is_found_and_mended(
    workers: Worker, environment: Mapping[str, str], bucket: OssObjectStore, client: Client, tmp_path: Path
) -> None:
    """Of each kind; then nothing is left but what no event mends."""
    assert not workers.has_ended
    keys = [f"audited/7/{n}/a.png" for n in range(60)]
    for n, key in enumerate(keys):
        bucket.put(key, picture(n))
    client.backfill("audited/")
    settled(client)
    assert run(environment, "--check") == (0, _counts(objects=60, rows=60, looked=60))

    missing = [f"audited/7/{n}/b +图%.png" for n in range(100, 110)]
    for key in missing:
        bucket.put(key, picture(1))
    for key in keys[:5]:
        bucket.put(key, picture(90))
    for key in keys[5:9]:
        bucket._bucket.delete_object(key)  # noqa: SLF001 - workers delete nothing
    bucket.put("audited/nobodys.png", picture(2))
    bucket.put("audited/7/", b"")
    bucket.put("audited/7/200/a.png", b"no picture")
    client.enqueue("audited/7/200/a.png", meta_id=200, company_id=7)
    bucket.put("audited/7/9/z.png", picture(3))
    client.enqueue("audited/7/9/z.png", meta_id=9, company_id=7)
    settled(client)

    code, told = run(environment, "--out", str(tmp_path / "lists"), "--check")
    assert code == 1
    assert {kind: told[kind] for kind in KINDS} == {
        "missing": 10,
        "changed": 5,
        "orphaned": 4,
        "unmapped": 1,
        "dead": 1,
    }
    assert told["superseded"] == 1
    lists = {
        kind: [json.loads(line) for line in (tmp_path / "lists" / f"{kind}.jsonl").read_text().splitlines()]
        for kind in KINDS
    }
    assert [one["object_key"] for one in lists["missing"]] == sorted(missing)
    assert [one["object_key"] for one in lists["changed"]] == keys[:5]
    assert [one["object_key"] for one in lists["orphaned"]] == keys[5:9]
    assert lists["unmapped"][0]["object_key"] == "audited/nobodys.png"
    assert (lists["dead"][0]["meta_id"], lists["dead"][0]["company_id"]) == (200, 7)

    code, told = run(environment, "--fix", "--yes")
    assert (code, told["fixed"]) == (0, 19)
    _, told = run(environment, "--deep")
    assert {kind: told[kind] for kind in KINDS} == {
        "missing": 0,
        "changed": 0,
        "orphaned": 0,
        "unmapped": 1,
        "dead": 1,
    }
    assert (told["rows"], told["objects"]) == (66, 69)


def test_nobody_said_yes(
    workers: Worker, environment: Mapping[str, str], bucket: OssObjectStore, client: Client
) -> None:
    """Without a terminal, and without --yes, nothing is mended."""
    assert not workers.has_ended
    bucket.put("audited/7/500/a.png", picture(1))
    done = subprocess.run(
        [PROGRAM, "audit", "--prefix", "audited/7/500/", "--fix", "--no-lists"],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "Enqueue 1 event and remove 0 rows" in done.stderr
    assert "nothing was mended" in done.stderr
    assert client.outstanding() == 0


def _counts(**told: int) -> dict[str, int]:
    return {"rows": 0, "objects": 0, "superseded": 0, "looked": 0, **dict.fromkeys(KINDS, 0), **told}
