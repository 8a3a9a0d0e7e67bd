"""Mixed load for minutes, with a worker killed in each of them: what callers notice, and whether memory grows.

Events are enqueued at a steady rate, and searches asked from several threads, while every minute a worker, of ingest
and of search by turns, is killed with SIGKILL (`supervisord` starts it again, as Compose would). Prometheus scrapes all
of it; in the end its answers to the dashboard's queries are drawn, and a real browser takes a picture of Flower.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any, Final

import psutil
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import dashboard
from benchmarks.photos import small
from benchmarks.report import save
from benchmarks.usage import resident
from contract import INGEST_QUEUE, SEARCH_QUEUE, LookalikeError
from devstack import Stack, StackError, Workers
from devstack.plan import metrics_port
from devstack.ports import reserve
from producer import Client
from worker.adapters.oss import OssObjectStore
from worker.settings import WorkerSettings

RESULTS: Final = Path(__file__).parent / "results" / "soak.json"
IMAGES: Final = Path(__file__).parents[1] / "docs" / "images"
_SEARCHERS: Final = 4
_SEARCH_SECONDS: Final = 10.0
_COMPANIES: Final = 5
_SAMPLE_SECONDS: Final = 10.0
_SETTLE_SECONDS: Final = 180.0


@dataclass(frozen=True, slots=True)
class Found:
    """What the minutes brought.

    Attributes:
        minutes: of load.
        killed: the workers that were, in their order.
        events: enqueued.
        refused: enqueues that raised; the caller was told, and nothing was accepted.
        rows: of them, when all had ended.
        dead: dead letters.
        searches: that were asked.
        failed: searches that raised.
        p50: of the answered, milliseconds.
        p99: of the answered, milliseconds.
        p999: of the answered, milliseconds.
        slowest: milliseconds.
        memory: of each program in MB: the medians of the second quarter of the time, and of the last.
    """

    minutes: float
    killed: Sequence[str]
    events: int
    refused: int
    rows: int
    dead: int
    searches: int
    failed: int
    p50: float
    p99: float
    p999: float
    slowest: float
    memory: Mapping[str, tuple[float, float]]


class Load:
    """What the callers do, from threads, until they are told to stop."""

    def __init__(
        self, client: Client, keys: Sequence[str], *, events_a_second: float, searches_a_second: float
    ) -> None:
        self._client = client
        self._keys = keys
        self._events_a_second = events_a_second
        self._searches_a_second = searches_a_second
        self._stopping = threading.Event()
        self.milliseconds: list[float] = []
        self.failures: list[str] = []
        self.enqueued = 0
        self.refused = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let them do it inside."""
        threads = [threading.Thread(target=self._enqueue)]
        threads += [threading.Thread(target=self._search, args=(n,)) for n in range(_SEARCHERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join()

    def _enqueue(self) -> None:
        for meta_id in count():
            if self._stopping.wait(1 / self._events_a_second):
                return
            try:
                key = self._keys[meta_id % len(self._keys)]
                self._client.enqueue(key, meta_id=meta_id, company_id=meta_id % _COMPANIES)
            except LookalikeError:
                self.refused += 1
            else:
                self.enqueued += 1

    def _search(self, number: int) -> None:
        chosen = random.Random(number)  # noqa: S311 - a load, no secret
        while not self._stopping.wait(_SEARCHERS / self._searches_a_second):
            company = chosen.randrange(_COMPANIES)
            query: dict[str, Any] = (
                {"vector": chosen.randbytes(8)} if chosen.random() < 0.5 else {"object_key": chosen.choice(self._keys)}  # noqa: PLR2004 - half of them
            )
            begun = time.perf_counter()
            try:
                self._client.search(**query, company_id=company, max_distance=10, timeout=_SEARCH_SECONDS)
            except LookalikeError as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            else:
                self.milliseconds.append((time.perf_counter() - begun) * 1000)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of load (10)")
    parser.add_argument("--events", type=float, default=30.0, metavar="N", help="a second (30)")
    parser.add_argument("--searches", type=float, default=20.0, metavar="N", help="a second (20)")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help="where results go")
    parser.add_argument("--images", type=Path, default=IMAGES, metavar="DIR", help="where pictures go")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Load, kill, print, and write down."""
    given = parse(arguments)
    console = Console()
    with (
        TemporaryDirectory(prefix="lookalike-soak-") as directory,
        Stack(Path(directory) / "stack", workers=Workers(processes=2)) as stack,
        reserve(["prometheus", "exporter", "search2"], {}) as ports,
    ):
        # While one is away, another answers.
        stack.add_workers(SEARCH_QUEUE, concurrency=4, variables={"LOOKALIKE_METRICS_PORT": str(ports["search2"])})
        os.environ.update(stack.env)
        keys = _fill()
        with _exporter(ports["exporter"]), _prometheus(stack, ports, Path(directory)) as prometheus:
            began = time.time()
            found = _run(console, stack, keys, given)
            if prometheus is not None:
                title = f"{given.minutes:g} minutes of mixed load, a worker killed in each"
                dashboard.plot(prometheus, began, time.time(), given.images / "dashboard.png", title=title)
        _photograph(stack, given.images / "flower.png")
    console.print_json(json.dumps(asdict(found)))
    save(given.out, asdict(found))


def _fill() -> list[str]:
    keys = []
    with closing(OssObjectStore.from_settings(WorkerSettings.from_env())) as bucket:
        for number, body in enumerate(small()):
            keys.append(f"soak/{number}.jpg")
            bucket.put(keys[-1], body)
    return keys


def _run(console: Console, stack: Stack, keys: Sequence[str], given: argparse.Namespace) -> Found:
    killed: list[str] = []
    memory: dict[str, list[float]] = {}
    with Client.from_env() as client:
        load = Load(client, keys, events_a_second=given.events, searches_a_second=given.searches)
        # Collections are made, and libraries loaded, before anything counts.
        client.enqueue(keys[0], meta_id=-1, company_id=0)
        _settle(client)
        client.search(vector=bytes(8), company_id=0)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress, load.running():
            bar = progress.add_task("mixed load", total=given.minutes * 60)
            begun = time.monotonic()
            while (passed := time.monotonic() - begun) < given.minutes * 60:
                progress.update(bar, completed=passed, description=f"mixed load, {len(killed)} killed")
                # In the middle of each minute.
                if passed > 60 * len(killed) + 30:
                    killed.append(_kill(stack, len(killed)))
                _sample(stack, memory)
                time.sleep(_SAMPLE_SECONDS)
        _settle(client)
        rows = sum(client.status(timeout=30).collections.values())
        dead = client.dead.count()
    times = sorted(load.milliseconds)
    cuts = quantiles(times, n=1000)
    return Found(
        minutes=given.minutes,
        killed=killed,
        events=load.enqueued + 1,
        refused=load.refused,
        rows=rows,
        dead=dead,
        searches=len(times) + len(load.failures),
        failed=len(load.failures),
        p50=round(median(times), 1),
        p99=round(cuts[989], 1),
        p999=round(cuts[998], 1),
        slowest=round(times[-1], 1),
        memory={name: _ends(values) for name, values in memory.items()},
    )


def _kill(stack: Stack, number: int) -> str:
    """Kill a worker: of ingest, of search, and so on."""
    queue = (INGEST_QUEUE, SEARCH_QUEUE)[number % 2]
    names = sorted(name for name in stack.programs if name.startswith(queue))
    name = names[(number // 2) % len(names)]
    stack.kill(name)
    return name


def _sample(stack: Stack, memory: dict[str, list[float]]) -> None:
    for name in stack.programs:
        # One that was just killed has no process for a moment.
        with suppress(StackError, psutil.NoSuchProcess):
            memory.setdefault(name, []).append(resident(stack.pid(name)))


def _ends(values: Sequence[float]) -> tuple[float, float]:
    quarter = max(1, len(values) // 4)
    return round(median(values[quarter : 2 * quarter] or values), 1), round(median(values[-quarter:]), 1)


def _settle(client: Client) -> None:
    deadline = time.monotonic() + _SETTLE_SECONDS
    while client.outstanding():
        if time.monotonic() > deadline:
            raise SystemExit(f"{client.outstanding()} events are outstanding after {_SETTLE_SECONDS:.0f} s")
        time.sleep(0.2)


@contextmanager
def _exporter(port: int) -> Iterator[None]:
    program = str(Path(sys.executable).parent / "lookalike")
    process = subprocess.Popen(
        [program, "exporter", "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _prometheus(stack: Stack, ports: Mapping[str, int], directory: Path) -> Iterator[str | None]:
    """A real Prometheus that scrapes all of it, by its address; None where it is not installed."""
    program = shutil.which("prometheus")
    if program is None:
        yield None
        return
    targets = {name: stack.ports[metrics_port(name)] for name in stack.programs if metrics_port(name) in stack.ports}
    jobs = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"service": name}}
        for name, port in {**targets, **ports}.items()
        if name != "prometheus"
    ]
    config = {
        "global": {"scrape_interval": "5s"},
        "scrape_configs": [{"job_name": "lookalike", "static_configs": jobs}],
    }
    (directory / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    command = [program, f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/tsdb"]
    address = f"127.0.0.1:{ports['prometheus']}"
    process = subprocess.Popen(
        [*command, f"--web.listen-address={address}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait()


def _photograph(stack: Stack, output: Path) -> None:
    """Take a picture of Flower's tasks in Chromium, where that is installed."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        return
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - slow to import

    user, password = stack.env["FLOWER_BASIC_AUTH"].split(":")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(
            viewport={"width": 1280, "height": 800}, http_credentials={"username": user, "password": password}
        )
        page.goto(f"{stack.env['LOOKALIKE_FLOWER_URL']}/tasks")
        page.wait_for_selector("#tasks-table tbody tr td:nth-child(2)")
        page.screenshot(path=output)
        browser.close()


if __name__ == "__main__":
    main()
