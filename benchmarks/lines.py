"""A file of a million lines through `lookalike enqueue`: rate, memory, and whether every good line is in the ledger."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Final

import psutil
import redis
from rich.console import Console

from benchmarks.section import Section, Table, Value
from devstack import Stack

_LINES: Final = 1_000_000
_EARLY: Final = 0.1
_PROGRAM: Final = str(Path(sys.executable).parent / "lookalike")
_OUTSTANDING: Final = "{lookalike}:outstanding"
_WAYS: Final = (("csv", False), ("jsonl", False), ("csv", True))
_TEMPLATES: Final = {
    "csv": "uploads/7/{0}/photo.jpg,{0},7",
    "jsonl": '{{"object_key": "uploads/7/{0}/photo.jpg", "meta_id": {0}, "company_id": 7}}',
}
_EVERY: Final = 100


@dataclass(slots=True)
class _Run:
    """What one run of the program told and used; seconds and bytes."""

    told: Mapping[str, int]
    wall: float = 0.0
    cpu: float = 0.0
    memory: list[tuple[int, int]] = field(default_factory=list)  # events that were enqueued, unique set size

    def memory_after(self, events: float) -> int:
        """How much it had when so many events were enqueued."""
        return next((size for enqueued, size in self.memory if enqueued >= events), self.memory[-1][1])


def run(console: Console, quick: bool) -> Iterator[Table]:
    """Enqueue files with one bad line in a hundred, with nobody to take the events."""
    lines = 10_000 if quick else _LINES
    rows = []
    with (
        TemporaryDirectory(prefix="lookalike-benchmark-") as folder,
        Stack(Path(folder), services=("valkey",)) as stack,
        closing(redis.Redis.from_url(stack.env["LOOKALIKE_LEDGER_URL"])) as server,
    ):
        for form, piped in _WAYS:
            file, rejects = Path(folder) / f"lines.{form}", Path(folder) / "rejects.jsonl"
            _write(file, form, lines)
            server.flushdb()
            limits = {"LOOKALIKE_OUTSTANDING_HIGH": "2000000", "LOOKALIKE_OUTSTANDING_MAX": "2000000"}
            done = _enqueue(file, form, rejects, server, {**os.environ, **stack.env, **limits}, piped=piped)
            rows.append(_row(f"{form}, pipe" if piped else form, lines, done))
            rows[-1] |= _checked(server, rejects, form, lines)
            file.unlink()
            console.print(f"{form} is done", style="dim")
        server.flushdb()
    notes = (
        "Memory is the unique set size of the program, looked at every 0.1 s.",
        "Wrong: good lines that are not in the ledger exactly once, bad ones not so in the file of rejects.",
    )
    yield Table("lines", f"lookalike enqueue --file, {lines:,} lines, one in {_EVERY} bad", rows, notes)


def _is_bad(number: int) -> bool:
    return number % _EVERY == 0


def _write(file: Path, form: str, lines: int) -> None:
    template = _TEMPLATES[form]
    with file.open("w", encoding="utf-8") as written:
        if form == "csv":
            written.write("object_key,meta_id,company_id\n")
        for number in range(lines):
            written.write(f"bad {number}\n" if _is_bad(number) else f"{template.format(number)}\n")


def _enqueue(file: Path, form: str, rejects: Path, server: redis.Redis, env: Mapping[str, str], *, piped: bool) -> _Run:
    source = "-" if piped else str(file)
    command = [_PROGRAM, "enqueue", "--file", source, "--format", form, "--rejects", str(rejects), "--json"]
    told = file.with_suffix(".told")
    begun = time.perf_counter()
    with ExitStack() as stack:
        output = stack.enter_context(told.open("wb"))
        stdin = subprocess.PIPE if piped else subprocess.DEVNULL
        process = stack.enter_context(subprocess.Popen(command, env=env, stdin=stdin, stdout=output))
        if process.stdin is not None:
            threading.Thread(target=_feed, args=[file, process.stdin]).start()
        memory = list(_watch(process, server))
        _, _, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
    counts = json.loads(told.read_bytes())
    return _Run(counts, wall, used.ru_utime + used.ru_stime, memory)


def _feed(file: Path, pipe: IO[bytes]) -> None:
    with file.open("rb") as source, pipe:
        shutil.copyfileobj(source, pipe)


def _watch(process: "subprocess.Popen[bytes]", server: redis.Redis) -> Iterator[tuple[int, int]]:
    watched = psutil.Process(process.pid)
    while True:
        try:
            if watched.status() == psutil.STATUS_ZOMBIE:
                return
            size = watched.memory_full_info().uss
        except psutil.Error:
            return
        yield int(server.get(_OUTSTANDING) or 0), size
        time.sleep(0.1)


def _row(way: str, lines: int, done: _Run) -> dict[str, Value]:
    good = done.told["events"]
    return {
        "file": way,
        "events": good,
        "rejected": done.told["rejected"],
        "lines/s by the clock": round(lines / done.wall),
        "lines/s and core": round(lines / done.cpu),
        f"MB after {lines * _EARLY / 1000:,.0f} k lines": done.memory_after(good * _EARLY) / 1e6,
        "MB at the end": done.memory[-1][1] / 1e6,
        "MB, most": max(size for _, size in done.memory) / 1e6,
    }


def _checked(server: redis.Redis, rejects: Path, form: str, lines: int) -> dict[str, Value]:
    times = bytearray(lines)
    for batch in server.scan_iter("{lookalike}:batch:*", count=1000):
        for event in json.loads(server.hget(batch, "events") or b"[]"):
            times[event["meta_id"]] += 1
    rejected = bytearray(lines)
    first = 2 if form == "csv" else 1
    with rejects.open(encoding="utf-8") as told:
        for line in map(json.loads, told):
            rejected[line["line"] - first] += 1
    return {"wrong": sum((times[n], rejected[n]) != ((0, 1) if _is_bad(n) else (1, 0)) for n in range(lines))}


SECTION: Final = Section("lines", "a file of a million lines through the command line", run)
