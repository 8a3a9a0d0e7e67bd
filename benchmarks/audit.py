"""An audit of a full bucket with planted differences: whether all are found and none is invented, in which memory."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import psutil
from rich.console import Console

from benchmarks.buckets import fill
from benchmarks.section import Section, Table, Value
from benchmarks.workers import search_worker
from contract import row_id
from devstack import Stack
from producer.auditing import Difference, DifferenceKind
from worker.adapters.milvus import MilvusConnection, MilvusIndex
from worker.settings import WorkerSettings
from worker.testing import make_row

if TYPE_CHECKING:
    from worker.ports import Row

_OBJECTS: Final = 100_000
_TEMPLATE: Final = "uploads/{company_id}/{meta_id}/{_}.jpg"
_PROGRAM: Final = str(Path(sys.executable).parent / "lookalike")
_MEGABYTE: Final = 1e6
_HOUR: Final = 3600
_CHUNK: Final = 5000
_CRC: Final = 7


def run(console: Console, quick: bool) -> Iterator[Table]:
    """Fill a bucket and a collection alike, but for what is planted, and audit them."""
    objects = 5_000 if quick else _OBJECTS
    with TemporaryDirectory(prefix="lookalike-benchmark-") as folder, Stack(Path(folder)) as stack:
        os.environ.update(stack.env)
        os.environ["LOOKALIKE_KEY_TEMPLATE"] = _TEMPLATE
        planted = _plant(Path(folder), objects)
        console.print(f"{objects:,} objects, {sum(planted.values()):,} differences")
        with search_worker(Path(folder)) as running:
            worker = psutil.Process(running.pid)
            for deep in (False, True):
                yield _audited(Path(folder), worker, objects, planted, deep=deep)


def _plant(folder: Path, objects: int) -> Counter[Difference]:
    """Write objects and their rows, and differences of each kind among them."""
    now = time.time()
    each = objects // 200
    kinds = ["missing"] * each + ["changed"] * each + ["orphaned"] * each + ["unmapped"] * each + ["superseded"] * each
    kind_of = dict(zip(range(0, objects, max(1, objects // len(kinds))), kinds, strict=False))
    keys: dict[str, list[str]] = {"old": [], "new": []}
    rows: list[Row] = []
    planted: Counter[Difference] = Counter()
    for n in range(objects):
        kind = kind_of.get(n)
        company_id = n % 100
        key = f"nobodys/{n}.jpg" if kind == "unmapped" else f"uploads/{company_id}/{n}/a.jpg"
        row = replace(
            make_row(n, company_id, object_key=key, content_crc=_CRC, vector=n.to_bytes(8)),
            id=row_id(company_id, n),
            indexed_at=int((now - _HOUR) * 1000),
        )
        if kind != "orphaned":
            # What was written after its row was made is in doubt.
            keys["new" if kind == "changed" else "old"].append(key)
        if kind == "superseded":
            keys["old"].append(f"uploads/{company_id}/{n}/0-earlier.jpg")
        if kind not in {"missing", "unmapped"}:
            rows.append(replace(row, content_crc=_CRC + 1) if kind == "changed" else row)
        if kind in {"missing", "changed", "orphaned"}:
            planted[Difference(DifferenceKind(kind), key, company_id, n)] += 1
        elif kind == "unmapped":
            planted[Difference(DifferenceKind.UNMAPPED, key)] += 1
    fill(folder, keys["old"], crc=_CRC, modified=now - 2 * _HOUR)
    fill(folder, keys["new"], crc=_CRC, modified=now - _HOUR / 2)
    settings = WorkerSettings.from_env()
    with closing(MilvusConnection(settings)) as connection:
        index = MilvusIndex(connection, settings, settings.profiles[0])
        for start in range(0, len(rows), _CHUNK):
            index.upsert(rows[start : start + _CHUNK])
    return planted


def _audited(folder: Path, worker: psutil.Process, objects: int, planted: Counter[Difference], *, deep: bool) -> Table:
    """Run the command, watch its memory and the worker's, and compare its lists with what was planted."""
    lists = folder / f"lists-{deep}"
    command = [_PROGRAM, "audit", "--json", "--out", str(lists), *(["--deep"] if deep else [])]
    memory: list[tuple[float, float]] = []
    begun = time.monotonic()
    with psutil.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            with suppress(psutil.Error):
                memory.append((_uss(process), _uss(worker)))
            time.sleep(0.2)
        told = json.loads(process.stdout.read())
    seconds = time.monotonic() - begun
    found = Counter(_read(lists))
    half = len(memory) // 2
    here, there = zip(*memory, strict=True)
    row: dict[str, Value] = {
        "planted": sum(planted.values()),
        "found": sum((found & planted).values()),
        "missed": sum((planted - found).values()),
        "invented": sum((found - planted).values()),
        "looked at": told["looked"],
        "s": round(seconds, 1),
        "MB of the command, half way": round(max(here[: half + 1])),
        "at most": round(max(here)),
        "MB of the worker, half way": round(max(there[: half + 1])),
        "at most, too": round(max(there)),
    }
    title = f"`lookalike audit{' --deep' if deep else ''}` of {objects:,} objects"
    return Table("deep" if deep else "audit", title, [row], ["Memory is the USS, most of it Python and its modules."])


def _uss(process: psutil.Process) -> float:
    return float(process.memory_full_info().uss) / _MEGABYTE


def _read(lists: Path) -> Iterator[Difference]:
    for file in lists.iterdir():
        for line in file.read_text(encoding="utf-8").splitlines():
            told = json.loads(line)
            yield Difference(DifferenceKind(told.pop("kind")), **told)


SECTION: Final = Section("audit", "an audit of a full bucket: what is planted is found; memory", run)
