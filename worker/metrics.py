"""What a worker counts, for Prometheus. No label holds a tenant, a key, a task's id or a host.

With `LOOKALIKE_METRICS_PORT` set, the figures are kept in files of a temporary folder, which the processes of a pool
share: each writes its own, and whoever is asked adds up all, also those of processes that have died
(https://prometheus.github.io/client_python/multiprocess/). Without it they stay in the process, and nobody asks.
"""

import os
from collections.abc import Sequence
from importlib.metadata import version
from platform import python_version
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    start_http_server,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector

from contract import QUEUES, IngestResult, Reason
from worker import shared_folder

PORT_VARIABLE: Final = "LOOKALIKE_METRICS_PORT"
_FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"


def _share() -> None:
    """Have the figures kept in files. Before any is made, and in the parent of a pool, whose processes inherit it."""
    if not os.environ.get(PORT_VARIABLE):
        return
    os.environ[_FOLDER_VARIABLE] = str(shared_folder.make("lookalike-metrics-"))
    # What the client does when it is imported and finds the variable. But Celery imports Flower, and that imports it,
    # before anything of ours.
    values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]


_share()

_NAMESPACE: Final = "lookalike"
# From a hash of a thumbnail to a batch that used up its budget.
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_EVENTS: Final = (1, 2, 5, 10, 20, 50, 100)
_ROWS: Final = (1, 10, 50, 100, 250, 500, 1000, 2500, 5000, 20000)

_events = Counter(
    "events",
    "Events whose try ended, by outcome, and by reason where that is dead.",
    ["outcome", "reason"],
    namespace=_NAMESPACE,
)
_stages = Histogram(
    "stage_seconds", "How long the stages of the work took.", ["stage"], namespace=_NAMESPACE, buckets=_SECONDS
)
_tasks = Histogram(
    "task_seconds", "How long tasks ran, by name and state.", ["task", "state"], namespace=_NAMESPACE, buckets=_SECONDS
)
DOWNLOADED_BYTES: Final = Counter("downloaded_bytes", "Bytes of objects that were read.", namespace=_NAMESPACE)
BATCH_EVENTS: Final = Histogram("batch_events", "Events in a message.", namespace=_NAMESPACE, buckets=_EVENTS)
UPSERT_ROWS: Final = Histogram("upsert_rows", "Rows in an upsert.", namespace=_NAMESPACE, buckets=_ROWS)
QUERIES: Final = Counter("queries", "Queries that were answered; search_many has several.", namespace=_NAMESPACE)
_sweeps = Counter("sweeps_sent", "Sweeps of the ledger that beat has sent.", namespace=_NAMESPACE)
_last_sweep = Gauge(
    "last_sweep_timestamp_seconds",
    "When beat sent the last sweep; 0 before the first.",
    namespace=_NAMESPACE,
    multiprocess_mode="max",
)
_build = Gauge(
    "build_info",
    "1, with the versions that hashes and answers depend on.",
    ["version", "python", "pillow", "imagehash", "pymilvus", "hash"],
    namespace=_NAMESPACE,
    multiprocess_mode="max",
)

# From when an event was enqueued until a worker began on it, for its first try.
QUEUE_WAIT: Final = _stages.labels("queue_wait")
DOWNLOAD: Final = _stages.labels("download")
# Until there is room to decode: `decoders` and pixels are bounded.
DECODE_WAIT: Final = _stages.labels("decode_wait")
# One pass where C does it, so these two are one stage.
DECODE_AND_HASH: Final = _stages.labels("decode_and_hash")
UPSERT: Final = _stages.labels("upsert")
SEARCH: Final = _stages.labels("search")


def count_events(result: IngestResult, dead: Sequence[Reason]) -> None:
    """Count how the events of a batch ended.

    Args:
        result: how many ended how. Those that are dead are counted by their reasons.
        dead: why, for each of those that are dead.
    """
    for outcome, number in (
        ("indexed", result["indexed"]),
        ("unchanged", result["unchanged"]),
        ("retried", result["retried"]),
    ):
        _events.labels(outcome, "").inc(number)
    for reason in dead:
        _events.labels("dead", reason).inc()


def count_sweep(now: float) -> None:
    """Count a sweep that beat has sent.

    Args:
        now: seconds since 1970.
    """
    _sweeps.inc()
    _last_sweep.set(now)


def count_task(name: str, state: str, seconds: float) -> None:
    """Count a task that ended. What is no task of ours is not counted: names are bounded."""
    if name in QUEUES:
        _tasks.labels(name, state).observe(seconds)


def describe(hashes: Sequence[str]) -> None:
    """Say which versions these figures are of."""
    names = ("lookalike", "pillow", "imagehash", "pymilvus")
    ours, pillow, imagehash, pymilvus = (version(name) for name in names)
    _build.labels(ours, python_version(), pillow, imagehash, pymilvus, ",".join(hashes)).set(1)


def serve(host: str, port: int) -> None:
    """Answer `GET /metrics` from a thread of this process, for all processes of its pool.

    Raises:
        OSError: the port is taken.
    """
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    ProcessCollector(registry=registry)
    start_http_server(port, host, registry)
