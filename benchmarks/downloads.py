"""What a download costs the processor: with oss2 as it comes, as the workers do it, and with HTTP alone."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

import crcmod
import oss2
import urllib3
from fastcrc import crc64
from rich.console import Console

from benchmarks.section import Section, Table
from worker.adapters.oss import OssObjectStore
from worker.adapters.transport import Session

_BUCKET: Final = "pictures"
_REGION: Final = "cn-hangzhou"
_CREDENTIALS: Final = {"OSS_ACCESS_KEY_ID": "benchmark", "OSS_ACCESS_KEY_SECRET": "secret"}
_SIZES: Final[Mapping[str, int]] = {"10 KB": 10_000, "309 KB": 309_000, "3.5 MB": 3_500_000}
_TYPICAL: Final = "309 KB"
_CRC_BYTES: Final = 20_000_000
_BLOCK_BYTES: Final = 60_000_000  # but at most _BLOCK_GETS
_BLOCK_GETS: Final = 200
_THREADS: Final = 16
_SECONDS: Final = 60.0
_CRCMOD: Final = crcmod.Crc(0x142F0E1EBA9EA3693, initCrc=0, xorOut=0xFFFFFFFFFFFFFFFF, rev=True)

Get = Callable[[str], int]
"""Reads the object of that name, and tells how many bytes it had."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one download, in a block of them.

    Attributes:
        client: microseconds of the processor in this process.
        server: microseconds of the processor in the stand-in.
        rate: downloads a second.
    """

    client: float
    server: float
    rate: float


class StandIn:
    """The stand-in for OSS in a process of its own, with an object of each size."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        line = process.stdout.readline() if process.stdout else ""
        self.endpoint: str = json.loads(line)["endpoint"]
        self._file = Path(f"/proc/{process.pid}/schedstat")

    def seconds(self) -> float:
        """Processor time of its thread until now; `/proc/PID/stat` would count in steps of 10 ms."""
        return int(self._file.read_text().split()[0]) / 1e9

    def measure(self, get: Get, size: str, gets: int, threads: int = 1) -> Cost:
        """Read an object so many times."""
        with ThreadPoolExecutor(threads) as pool:
            server, client, wall = self.seconds(), time.process_time(), time.perf_counter()
            lengths = set(pool.map(get, [size] * gets))
            wall, client = time.perf_counter() - wall, time.process_time() - client
            server = self.seconds() - server
        if lengths != {_SIZES[size]}:
            raise ValueError(f"an object of {_SIZES[size]:,} bytes has {lengths}")
        return Cost(client / gets * 1e6, server / gets * 1e6, gets / wall)


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """The server, until the end of the context."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "devstack.oss", "--data", folder, "--bucket", _BUCKET, "--region", _REGION]
        environment = {**os.environ, **_CREDENTIALS}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield StandIn(process)
            finally:
                process.terminate()


@contextmanager
def ways(endpoint: str) -> Iterator[dict[str, Get]]:
    """The ways to read an object; the objects are there."""
    auth = oss2.AuthV4(*_CREDENTIALS.values())

    def bucket(session: Any, **settings: Any) -> Any:
        return oss2.Bucket(auth, endpoint, _BUCKET, session=session, region=_REGION, **settings)

    with ExitStack() as stack:
        original = oss2.Session(pool_size=_THREADS)
        original.session.trust_env = False
        stack.callback(original.session.close)
        as_it_comes = bucket(original)
        session = stack.enter_context(closing(Session(_THREADS)))
        store = OssObjectStore(bucket(session, enable_crc=False), session, max_bytes=max(_SIZES.values()))
        host = endpoint.removeprefix("http://").partition(":")
        plain = stack.enter_context(urllib3.HTTPConnectionPool(host[0], int(host[2]), maxsize=_THREADS))
        urls = {}
        for size, length in _SIZES.items():
            store.put(size, os.urandom(length))
            urls[size] = as_it_comes.sign_url("GET", size, int(_SECONDS) * 60).removeprefix(endpoint)
        yield {
            "oss2": lambda size: len(as_it_comes.get_object(size).read()),
            "Lookalike": lambda size: len(store.get(size, time.monotonic() + _SECONDS).body),
            "urllib3": lambda size: len(plain.request("GET", urls[size]).data),
        }


def run(console: Console, quick: bool) -> Iterator[Table]:
    """Measure downloads by one thread, by many, and checksums."""
    rounds = 2 if quick else 15
    with stand_in() as server, ways(server.endpoint) as gets:
        for get in gets.values():
            get(_TYPICAL)
        console.print("Downloads, one at a time")
        yield Table(
            "one",
            "CPU of one download, microseconds (medians of interleaved blocks)",
            [row for size in _SIZES for row in _rows(server, gets, size, rounds, 1)],
            [
                "oss2: `get_object(key).read()`, with its own session.",
                "Lookalike: the workers' adapter, which checks length, checksum and deadline.",
                "urllib3: a GET of a URL signed before, with nothing checked.",
                "The server is the stand-in; its CPU is none of the workers'.",
            ],
        )
        console.print(f"Downloads by {_THREADS} threads")
        yield Table(
            "many",
            f"{_THREADS} threads of one process, {_TYPICAL}",
            list(_rows(server, gets, _TYPICAL, rounds, _THREADS)),
            ["Client and server share the machine."],
        )
    console.print("Checksums")
    yield Table("crc", "CRC-64, MB/s", [_checksums(size, rounds) for size in _SIZES])


def _rows(
    server: StandIn, gets: Mapping[str, Get], size: str, rounds: int, threads: int
) -> Iterator[dict[str, float | int | str | None]]:
    count = min(_BLOCK_GETS, _BLOCK_BYTES // _SIZES[size])
    costs: dict[str, list[Cost]] = {name: [] for name in gets}
    for _ in range(rounds):
        for name, get in gets.items():
            costs[name].append(server.measure(get, size, count, threads))
    for name, found in costs.items():
        yield {
            "object": size,
            "with": name,
            "client, us": median(cost.client for cost in found),
            "stand-in, us": median(cost.server for cost in found),
            "downloads/s": median(cost.rate for cost in found),
        }


def _checksums(size: str, rounds: int) -> dict[str, float | int | str | None]:
    body = os.urandom(_SIZES[size])
    count = max(1, _CRC_BYTES // len(body) // rounds)
    kinds: dict[str, Callable[[], object]] = {
        "crcmod": lambda: _CRCMOD.new(body).crcValue,
        "fastcrc": lambda: crc64.xz(body),
    }
    rates: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, compute in kinds.items():
            begun = time.thread_time()
            for _ in range(count):
                compute()
            rates[kind].append(count * len(body) / (time.thread_time() - begun) / 1e6)
    return {"bytes": size} | {kind: median(found) for kind, found in rates.items()}


SECTION: Final = Section("downloads", "CPU of downloads, against oss2 as it comes and HTTP alone", run)
