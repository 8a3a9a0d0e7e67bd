"""How it stands as a whole, as metrics for Prometheus: one look, or a look every few seconds for whoever scrapes."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from contract import ALL_QUEUES, LookalikeError
from producer.calls import Calls
from producer.connections import Connections
from producer.errors import vendor_errors
from producer.fuses import BlownFuse, Fuses
from producer.ledger import Summary
from producer.queues import queue_lengths
from producer.settings import ClientSettings
from producer.status import Status, collections

log = structlog.get_logger(__name__)

_NAMESPACE: Final = "lookalike"
_REPLY_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known. None where it could not be asked.

    Attributes:
        summary: of the ledger.
        fuses: that are blown.
        queues: messages that wait, by queue.
        workers: how many answered.
        consumers: how many of them listen to a queue, by queue.
        collections: rows, by collection.
        memory: of the ledger's Redis in bytes: used, and the most that it may; 0 where there is no bound.
        limit: outstanding events from which on none is accepted.
    """

    summary: Summary | None = None
    fuses: Sequence[BlownFuse] | None = None
    queues: Mapping[str, int] | None = None
    workers: int | None = None
    consumers: Mapping[str, int] | None = None
    collections: Mapping[str, int] | None = None
    memory: tuple[int, int] | None = None
    limit: int | None = None


def exposition(status: Status) -> str:
    """Write a status as gauges, for whatever reads that format: node_exporter, say."""
    summary = Summary(status.outstanding, status.oldest_seconds, status.dead)
    figures = Figures(summary, status.fuses, status.queues, status.workers, None, status.collections)
    registry = CollectorRegistry()
    registry.register(_Gauges(lambda: figures))
    return generate_latest(registry).decode()


class Exporter:
    """Looks every few seconds, in a thread of its own, so that a scrape never waits for what does not answer.

    Args:
        settings: where everything is.
        every: seconds between two looks.
        clock: seconds since 1970.

    Raises:
        SettingsError: an address cannot be used.
    """

    def __init__(self, settings: ClientSettings, *, every: float, clock: Callable[[], float] = time.time) -> None:
        self._connections = Connections(settings)
        self._app = self._connections.app
        self._ledger = self._connections.ledger
        self._calls = Calls(self._app)
        self._every = every
        self._limit = settings.outstanding_max
        self._clock = clock
        self._figures = Figures()
        self._looked = 0.0
        self._up: dict[str, bool] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="exporter", daemon=True)
        self.registry = CollectorRegistry()
        self.registry.register(_Gauges(lambda: self._figures))
        self.registry.register(_Looks(lambda: (self._up, self._looked)))

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more. What does not answer is not waited for."""
        self._stopping.set()
        self._thread.join(self._every)
        if not self._thread.is_alive():
            self._connections.close()

    def look(self) -> None:
        """Look once. What cannot be asked is absent, and counts as down."""
        up: dict[str, bool] = {}

        def ask(source: str, question: Callable[[], Any]) -> Any:
            try:
                answer = question()
            except LookalikeError as error:
                log.warning("source_down", source=source, error=str(error))
                up[source] = False
                return None
            up[source] = True
            return answer

        queues = ask("broker", lambda: queue_lengths(self._app, list(ALL_QUEUES)))
        listened = ask("workers", self._listened) if queues is not None else None
        now = self._clock()
        self._figures = Figures(
            summary=ask("ledger", lambda: self._ledger.summary(now)),
            fuses=ask("fuses", lambda: Fuses(self._ledger.connection).read(now)),
            queues=queues,
            workers=None if listened is None else len(listened),
            consumers=None if listened is None else _by_queue(listened),
            collections=ask("collections", lambda: collections(self._calls, self._every)) if listened else None,
            memory=ask("memory", self._memory),
            limit=self._limit,
        )
        self._up, self._looked = up, now

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except Exception:
                log.exception("look_failed")  # and the age of the last look tells it
            if self._stopping.wait(self._every):
                return

    def _listened(self) -> list[list[str]]:
        """The queues of each worker that answers."""
        with vendor_errors("asking for workers"):
            replies = self._app.control.inspect(timeout=_REPLY_SECONDS).active_queues() or {}
        return [[queue["name"] for queue in queues] for queues in replies.values()]

    def _memory(self) -> tuple[int, int]:
        with vendor_errors("the memory of Redis"):
            told = self._ledger.connection.info("memory")
        return int(told["used_memory"]), int(told["maxmemory"])


def _by_queue(listened: Sequence[Sequence[str]]) -> Mapping[str, int]:
    counted = Counter(queue for queues in listened for queue in queues)
    return {queue: counted[queue] for queue in ALL_QUEUES}


def _gauge(name: str, means: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_NAMESPACE}_{name}", means, labels=labels)


class _Gauges(Collector):
    """The figures as they are when they are asked for."""

    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give what is known."""
        figures = self._figures()
        if figures.summary is not None:
            yield from _of_summary(figures.summary)
        if figures.workers is not None:
            yield _one("workers", "Workers that answered a ping.", figures.workers)
        yield from _of_mapping("queue_messages", "Messages that wait in a queue.", "queue", figures.queues)
        yield from _of_mapping("queue_workers", "Workers that listen to a queue.", "queue", figures.consumers)
        yield from _of_mapping("collection_rows", "Rows of a collection.", "collection", figures.collections)
        if figures.fuses is not None:
            blown = _gauge("fuse_blown", "1 for each worker that has stopped itself, by cause.", "worker", "cause")
            for fuse in figures.fuses:
                blown.add_metric([fuse.worker, fuse.cause], 1)
            yield blown
        if figures.memory is not None:
            used, most = figures.memory
            yield _one("redis_memory_bytes", "Memory that the ledger's Redis uses.", used)
            yield _one("redis_memory_limit_bytes", "Memory that it may use; 0 where there is no bound.", most)
        if figures.limit is not None:
            yield _one("outstanding_limit_events", "Outstanding events from which on none is accepted.", figures.limit)


class _Looks(Collector):
    """Whether the figures can be believed."""

    def __init__(self, looked: Callable[[], tuple[Mapping[str, bool], float]]) -> None:
        self._looked = looked

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give what answered at the last look, and when that was."""
        up, at = self._looked()
        yield from _of_mapping("exporter_up", "Whether a source answered at the last look.", "source", up)
        yield _one("exporter_looked_timestamp_seconds", "When the last look ended; 0 before the first.", at)
        build = _gauge("exporter_build_info", "1, with the version.", "version")
        build.add_metric([version("lookalike")], 1)
        yield build


def _one(name: str, means: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_NAMESPACE}_{name}", means, value=value)


def _of_summary(summary: Summary) -> Iterator[GaugeMetricFamily]:
    yield _one("outstanding_events", "Events that were accepted and have not ended.", summary.outstanding)
    yield _one(
        "oldest_event_seconds", "Age of the oldest outstanding event; 0 where there is none.", summary.oldest_seconds
    )
    yield _one("dead_letters", "Events that were given up.", summary.dead)


def _of_mapping(name: str, means: str, label: str, values: Mapping[str, float] | None) -> Iterator[GaugeMetricFamily]:
    if values is not None:
        gauge = _gauge(name, means, label)
        for key, value in values.items():
            gauge.add_metric([key], value)
        yield gauge
