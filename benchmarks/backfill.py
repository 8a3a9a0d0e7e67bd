"""Backfilling a full bucket: how fast, beside oss2's own iterator, in which memory, and that no kill skips a key."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import oss2
import psutil
import redis
from oss2.credentials import EnvironmentVariableCredentialsProvider
from rich.console import Console

from benchmarks.buckets import fill
from benchmarks.section import Section, Table, Value
from benchmarks.workers import search_worker
from contract.backfill import Backfilling
from devstack import Stack
from producer import Client
from worker.adapters.oss import OssObjectStore
from worker.core.mapping import Mapper
from worker.services.backfilling import PAGE, Backfill
from worker.settings import WorkerSettings
from worker.testing import MemoryJobs

_OBJECTS: Final = 100_000
_ROUNDS: Final = 3
_KILLS: Final = 5
_TEMPLATE: Final = "uploads/{company_id}/{meta_id}/{_}.jpg"
_PROGRAM: Final = str(Path(sys.executable).parent / "lookalike")
_MEGABYTE: Final = 1e6


def run(console: Console, quick: bool) -> Iterator[Table]:
    """Fill a bucket, list it in three ways in turn, and backfill it under fire."""
    objects, rounds = (5_000, 2) if quick else (_OBJECTS, _ROUNDS)
    with TemporaryDirectory(prefix="lookalike-benchmark-") as folder, Stack(Path(folder)) as stack:
        os.environ.update(stack.env)
        os.environ.update({"LOOKALIKE_KEY_TEMPLATE": _TEMPLATE, "LOOKALIKE_OUTSTANDING_HIGH": "900000"})
        fill(Path(folder), (f"uploads/{n % 100}/{n}/picture.jpg" for n in range(objects)))
        console.print(f"A bucket of {objects:,} objects")
        yield Table(
            "listing",
            f"Listing {objects:,} objects, thousands of keys a second",
            list(_listing(objects, rounds)),
            ["The ways take turns. The stand-in of OSS lists on the same machine, and takes most of the time."],
        )
        yield Table(
            "killed",
            f"`lookalike backfill` of {objects:,} objects, killed {_KILLS} times",
            [_killed(console, Path(folder), objects)],
            ["By SIGKILL: the command, and every other time the worker too. What a worker had not noted is repeated."],
        )
        yield Table("memory", "Memory of a worker that backfills all of it", list(_memory(Path(folder), objects)))


def _listing(objects: int, rounds: int) -> Iterator[dict[str, Value]]:
    settings = WorkerSettings.from_env()
    with closing(OssObjectStore.from_settings(settings)) as store, Client.from_env() as client:
        bucket = oss2.Bucket(
            oss2.ProviderAuthV4(EnvironmentVariableCredentialsProvider()),
            settings.oss_endpoint,
            settings.oss_bucket,
            region=settings.oss_region,
        )
        publisher = client._publisher  # noqa: SLF001 - what a worker has
        ways: dict[str, Callable[[], int]] = {
            "oss2's ObjectIteratorV2": lambda: sum(1 for _ in oss2.ObjectIteratorV2(bucket, max_keys=PAGE)),
            "pages of 1,000, as a backfill reads them": lambda: _pages(store),
            "a dry run: listed and mapped": lambda: _whole(store, publisher, settings.mapper, dry_run=True),
            "a backfill: listed, mapped, and in ledger and queue": lambda: _whole(
                store, publisher, settings.mapper, dry_run=False
            ),
        }
        wall: dict[str, list[float]] = {name: [] for name in ways}
        processor: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                begun, before = time.perf_counter(), time.process_time()
                if way() != objects:
                    raise RuntimeError(f"{name} did not list every object")
                wall[name].append(time.perf_counter() - begun)
                processor[name].append(time.process_time() - before)
                _forget()
    first = median(wall[next(iter(ways))])
    for name in ways:
        yield {
            "way": name,
            "1,000 keys/s": round(objects / median(wall[name]) / 1e3, 1),
            "1,000 keys/s of its own processor time": round(objects / median(processor[name]) / 1e3, 1),
            "ratio to the iterator": round(first / median(wall[name]), 2),
        }


def _pages(store: OssObjectStore) -> int:
    found, after = 0, ""
    while page := store.objects("", after, PAGE):
        found += len(page)
        after = page[-1].key
    return found


def _whole(store: OssObjectStore, publisher: object, mapper: Mapper, *, dry_run: bool) -> int:
    job = Backfill(store, publisher, MemoryJobs(), mapper)  # type: ignore[arg-type] # a Publisher accepts
    while not (result := job(Backfilling(dry_run=dry_run)))["done"]:
        pass
    return result["read"]


def _forget() -> None:
    for name in ("LOOKALIKE_BROKER_URL", "LOOKALIKE_LEDGER_URL"):
        with redis.Redis.from_url(os.environ[name]) as server:
            server.flushdb()


def _killed(console: Console, folder: Path, objects: int) -> dict[str, Value]:
    """Kill the worker and the command, or the command alone, in turn; then let both come to the end."""
    _forget()
    begun = time.monotonic()
    out = ""
    with Client.from_env() as client:
        for kill in range(_KILLS + 1):
            with search_worker(folder) as worker, _command() as command:
                target = min(objects * (kill + 1) // (_KILLS + 1), client.outstanding() + objects // (_KILLS + 1))
                while command.poll() is None and (kill == _KILLS or client.outstanding() < target):
                    time.sleep(0.02)
                if kill < _KILLS:
                    if kill % 2 == 0:
                        worker.kill()
                    command.kill()
                out, _ = command.communicate(timeout=60)
                console.print(f"{client.outstanding():,} enqueued")
    keys = Counter(_keys(os.environ))
    return {
        "keys enqueued": len(keys),
        "keys skipped": objects - len(keys),
        "events": keys.total(),
        "done": str(json.loads(out)["prefixes"][0]["done"]),
        "s": round(time.monotonic() - begun, 1),
    }


def _memory(folder: Path, objects: int) -> Iterator[dict[str, Value]]:
    """Let one worker do all of it, and look at its memory meanwhile."""
    _forget()
    at: dict[int, float] = {}
    with Client.from_env() as client, search_worker(folder) as worker, _command() as command:
        process = psutil.Process(worker.pid)
        while command.poll() is None:
            at[client.outstanding()] = process.memory_full_info().uss / _MEGABYTE
            time.sleep(0.05)
        command.communicate(timeout=60)
    for percent in (5, 25, 50, 75, 100):
        nearest = min(at, key=lambda events: abs(events - objects * percent / 100))
        yield {"events enqueued": nearest, "USS of the worker, MB": round(at[nearest], 1)}


@contextmanager
def _command() -> Iterator["subprocess.Popen[str]"]:
    options = ("--prefix", "uploads/", "--no-wait", "--json")
    process = subprocess.Popen([_PROGRAM, "backfill", *options], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _keys(environment: Mapping[str, str]) -> Iterator[str]:
    with redis.Redis.from_url(environment["LOOKALIKE_LEDGER_URL"], decode_responses=True) as server:
        for key in server.scan_iter("{lookalike}:batch:*", count=1000):
            for event in json.loads(str(server.hget(str(key), "events"))):
                yield event["object_key"]


SECTION: Final = Section("backfill", "a full bucket: rate, memory, and that no kill skips a key", run)
