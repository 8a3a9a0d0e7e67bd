"""What metrics and traces cost: processor time for each event and for each message, in microseconds.

Figures are kept in the process, or in files as where Prometheus is served; each way in a process of its own, by turns.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final

from rich.console import Console

from benchmarks.report import save

RESULTS: Final = Path(__file__).parent / "results" / "observing.json"
_ROUNDS: Final = 5
_CALLS: Final = 20_000
_WAYS: Final[Mapping[str, Mapping[str, str]]] = {"in the process": {}, "in files": {"LOOKALIKE_METRICS_PORT": "1"}}


def costs() -> dict[str, float]:
    """Measure in this process: microseconds by what is done."""
    from producer import tracing  # noqa: PLC0415 - as the environment says
    from worker import metrics  # noqa: PLC0415 - as above

    def event() -> None:
        with metrics.DOWNLOAD.time(), tracing.span("download"):
            pass
        metrics.DOWNLOADED_BYTES.inc(10_000)
        with ExitStack() as room:
            with metrics.DECODE_WAIT.time():
                room.enter_context(tracing.span("room"))
            with metrics.DECODE_AND_HASH.time(), tracing.span("decode_and_hash"):
                pass

    def message() -> None:
        metrics.BATCH_EVENTS.observe(20)
        metrics.QUEUE_WAIT.observe(0.01)
        metrics.UPSERT_ROWS.observe(20)
        with metrics.UPSERT.time(), tracing.span("upsert"):
            pass
        metrics.count_events({"indexed": 20, "unchanged": 0, "dead": 0, "retried": 0}, [])
        metrics.count_task("lookalike.ingest", "SUCCESS", 0.1)

    def trace() -> None:
        task_id = tracing.new_task_id()
        tracing.headers_for(task_id)
        with tracing.within(tracing.of_task(task_id)), tracing.span("task"):
            pass

    return {"an event": _each(event), "a message": _each(message), "its trace": _each(trace)}


def _each(call: Callable[[], None]) -> float:
    call()
    begun = time.process_time()
    for _ in range(_CALLS):
        call()
    return (time.process_time() - begun) / _CALLS * 1e6


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.observing", description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help="where results go")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one:
        sys.stdout.write(json.dumps(costs()))
        return
    command = [sys.executable, "-m", "benchmarks.observing", "--one"]
    rounds = [
        {
            way: json.loads(
                subprocess.run(command, env={**os.environ, **extra}, capture_output=True, check=True).stdout
            )
            for way, extra in _WAYS.items()
        }
        for _ in range(_ROUNDS)
    ]
    found = {
        way: {what: round(median(one[way][what] for one in rounds), 1) for what in rounds[0][way]} for way in _WAYS
    }
    Console().print_json(json.dumps(found))
    save(given.out, {"microseconds": found, "rounds": rounds})


if __name__ == "__main__":
    main()
