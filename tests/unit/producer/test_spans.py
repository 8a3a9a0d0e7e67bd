"""OpenTelemetry's spans: in the right trace, linked where several share one, and silent about what is private."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from producer import traced, tracing
from producer.sharing import SharedBatches
from producer.tracing import Trace
from worker.ports import Row
from worker.services.writer import GroupWriter
from worker.testing import MemoryIndex, make_row

TRACES = tuple(Trace(f"{n:032x}", f"{n:016x}") for n in (1, 2, 3))
REPORT = """
import structlog
from producer import tracing
tracing.configure("a-process")
with tracing.span("one"):
    print(type(tracing.otel.get_tracer_provider()).__name__, tracing.current() is not None)
"""


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What is exported, of this test alone: OpenTelemetry's own provider is for the whole process."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing.otel, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


def only(exporter: InMemorySpanExporter, name: str) -> ReadableSpan:
    """The one span of a name."""
    (span,) = [span for span in exporter.get_finished_spans() if span.name == name]
    return span


def trace_of(span: ReadableSpan) -> Trace:
    """Where it is."""
    context = span.get_span_context()
    assert context is not None
    return Trace(f"{context.trace_id:032x}", f"{context.span_id:016x}")


def linked(span: ReadableSpan) -> list[str]:
    """The traces' ids that it is linked to."""
    return [f"{link.context.trace_id:032x}" for link in span.links]


def report(**environment: str) -> str:
    """What a process of its own says of its provider."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


def test_of_an_error_only_the_class_is_told(exported: InMemorySpanExporter) -> None:
    """Its message names a key, and whoever reads spans may not know it."""
    with suppress(LookupError), tracing.span("download"):
        raise LookupError("company 7 has no photos/secret.jpg")
    span = only(exported, "download")
    assert span.attributes == {"error.type": "LookupError"}
    assert not span.status.is_ok
    assert span.status.description is None
    assert span.events == ()


def test_a_trace_that_was_given_counts_more_than_the_span_around_it(exported: InMemorySpanExporter) -> None:
    """Task, log lines and spans are all of the same trace."""
    with tracing.span("around"), traced(TRACES[0].header) as trace_id, tracing.span("inside"):
        task_id = tracing.new_task_id()
        header = tracing.parse(tracing.headers_for(task_id)["traceparent"])
    inside = only(exported, "inside")
    assert trace_id == trace_of(inside).trace_id == TRACES[0].trace_id
    assert inside.parent is not None
    assert f"{inside.parent.span_id:016x}" == TRACES[0].span_id
    assert header == trace_of(inside)
    assert trace_of(only(exported, "around")).trace_id != trace_id


def test_what_is_not_sampled_stays_so(exported: InMemorySpanExporter) -> None:
    """The decision of whoever began the trace goes with it to the workers."""
    unsampled = f"00-{TRACES[0].trace_id}-{TRACES[0].span_id}-00"
    with traced(unsampled), tracing.span("enqueue"):
        header = tracing.headers_for(tracing.new_task_id())["traceparent"]
    assert header.endswith("-00")
    assert exported.get_finished_spans() == ()


def test_a_shared_batch_is_in_the_first_trace_and_linked_to_the_others(exported: InMemorySpanExporter) -> None:
    """Who has none is none of them; who comes twice is linked once."""
    ids = []

    class Told:
        batch_id = "batch"

    def accept(_: object) -> Told:
        ids.append(tracing.new_task_id())
        return Told()

    shared = SharedBatches(accept)
    traces = [None, TRACES[1], TRACES[0], TRACES[1], TRACES[2]]
    batch: list[tuple[int, Future[str], Trace | None]] = [(n, Future(), trace) for n, trace in enumerate(traces)]
    shared._send(batch)  # noqa: SLF001 - one batch, of just these callers
    assert tracing.of_task(ids[0]).trace_id == TRACES[1].trace_id
    span = only(exported, "share")
    assert trace_of(span).trace_id == TRACES[1].trace_id
    assert linked(span) == [TRACES[0].trace_id, TRACES[2].trace_id]


def test_what_is_submitted_keeps_its_trace() -> None:
    """Although another thread sends it."""
    ids = []

    class Told:
        batch_id = "batch"

    def accept(_: object) -> Told:
        ids.append(tracing.new_task_id())
        return Told()

    shared = SharedBatches(accept)
    with traced() as trace_id:
        shared.submit("event").result(30)
    shared.close()
    assert [tracing.of_task(one).trace_id for one in ids] == [trace_id]


def test_without_the_extra_there_are_ids_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no spans."""
    monkeypatch.setattr(tracing, "otel", None)
    with traced(TRACES[0].header) as trace_id, tracing.span("enqueue", links=TRACES), tracing.joined(TRACES[1:]):
        tracing.fail(ValueError())
        assert tracing.current() == TRACES[1]
        assert tracing.headers_for(tracing.new_task_id()) == {"traceparent": TRACES[1].header}
    assert trace_id == TRACES[0].trace_id
    tracing.configure("a-process", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})


def test_parts_of_opentelemetry_are_not_the_extra() -> None:
    """Other packages bring some of its namespace along."""
    code = "import sys; sys.modules['opentelemetry.trace'] = None\nfrom producer import tracing\nprint(tracing.otel)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "None"


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, "ProxyTracerProvider False"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
            "ProxyTracerProvider False",
        ),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, "TracerProvider True"),
    ],
)
def test_nothing_is_exported_unless_a_variable_says_where(environment: Mapping[str, str], told: str) -> None:
    """And then OpenTelemetry's variables count. That nobody listens there is no error."""
    assert report(**environment) == told


def test_a_process_ends_although_nobody_takes_its_spans() -> None:
    """A collector that takes connections and never answers is not waited for, however patient the exporter is."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        told = report(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_EXPORTER_OTLP_TIMEOUT="600")
    assert told == "TracerProvider True"


def test_rows_that_are_written_together_are_linked(exported: InMemorySpanExporter) -> None:
    """One thread writes for all that wait, in its own trace; those of the others are linked to its upsert."""
    index, queued = MemoryIndex(), threading.Event()

    def upsert(rows: Sequence[Row]) -> None:
        entered.set()
        assert queued.wait(30)
        MemoryIndex.upsert(index, rows)

    entered = threading.Event()
    index.upsert = upsert  # type: ignore[method-assign]
    writer = GroupWriter(index, max_rows=100)

    def write(trace: Trace, meta_id: int) -> None:
        with tracing.within(trace):
            writer.write([make_row(meta_id, 1)], time.monotonic() + 30)

    with ThreadPoolExecutor(3) as pool:
        writes = [pool.submit(write, TRACES[0], 0)]
        assert entered.wait(30)
        writes += [pool.submit(write, trace, n) for n, trace in enumerate(TRACES[1:], 1)]
        while writer.queued < len(TRACES) - 1:
            time.sleep(0.001)
        queued.set()
        for future in writes:
            future.result(30)
    alone, together = (span for span in exported.get_finished_spans() if span.name == "upsert")
    assert (trace_of(alone).trace_id, linked(alone)) == (TRACES[0].trace_id, [])
    assert together.attributes == {"rows": 2}
    # Whichever writes, both are told of. The first may write for all, before it returns.
    told = {trace_of(together).trace_id, *linked(together)}
    assert told >= {trace.trace_id for trace in TRACES[1:]}
