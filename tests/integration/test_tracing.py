"""One trace from the producer's call through the workers and Milvus to what comes of it."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from secrets import token_hex
from typing import Any, ClassVar

import pytest
from celery import Celery
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from devstack.pictures import photos
from producer import Client, traced
from tests.integration.listening import PROGRAM, Listening
from tests.integration.processes import Worker, eventually, on_own_databases, settled
from worker.adapters.oss import OssObjectStore

COMPANY = 62
# An application of its own, for OpenTelemetry has one provider in a process.
APPLICATION = """
import sys
from opentelemetry import trace
from contract import QueryNotFound
from producer import Client, tracing

tracing.configure("application")
with Client.from_env() as client, trace.get_tracer("application").start_as_current_span("upload") as span:
    client.enqueue("traced/otel.jpg", meta_id=5, company_id=62)
    try:
        client.search(object_key="traced/secret-key.jpg", company_id=62, timeout=60)
    except QueryNotFound:
        pass
    client.search(vector=bytes(8), company_id=62, timeout=60)
    print(f"{span.get_span_context().trace_id:032x}")
tracing.flush()
"""


class Collector(BaseHTTPRequestHandler):
    """Takes what an OTLP exporter sends."""

    spans: ClassVar[list[dict[str, Any]]] = []
    bodies: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        """Take spans."""
        request = ExportTraceServiceRequest()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Collector.bodies.append(body)
        request.ParseFromString(body)
        for resource in request.resource_spans:
            (service,) = [one.value.string_value for one in resource.resource.attributes if one.key == "service.name"]
            Collector.spans += [
                {
                    "service": service,
                    "name": span.name,
                    "trace_id": span.trace_id.hex(),
                    "id": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "attributes": {one.key for one in span.attributes},
                    "failed": span.status.code == Status.STATUS_CODE_ERROR,
                }
                for scope in resource.scope_spans
                for span in scope.spans
            ]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[str]:
    """Where spans are sent to."""
    Collector.spans.clear()
    Collector.bodies.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def events(worker: Worker, trace_id: str) -> list[str]:
    """The events of a worker's log lines of a trace."""
    return [line["event"] for line in worker.lines() if line.get("trace_id") == trace_id]


def errors(worker: Worker) -> list[dict[str, Any]]:
    """The lines of a worker's log that tell of an error."""
    return [line for line in worker.lines() if line["level"] == "error"]


def test_an_upload_can_be_followed(client: Client, bucket: OssObjectStore, ingest_worker: Worker) -> None:
    """Its batch, its tries, and in the end its dead letter: all under one id."""
    bucket.put("traced/one.jpg", photos()["flower.jpg"])
    with traced() as trace_id:
        batch = client.enqueue("traced/one.jpg", meta_id=1, company_id=COMPANY)
        client.enqueue("traced/none.jpg", meta_id=2, company_id=COMPANY)
    assert batch.startswith(trace_id)
    settled(client)
    told = events(ingest_worker, trace_id)
    assert told.count("event_retried") >= 1
    assert told.count("event_dead") == 1
    assert told.count("batch_settled") >= 3
    (letter,) = [letter for letter in client.dead_letters() if letter.trace_id == trace_id]
    assert letter.event["object_key"] == "traced/none.jpg"


def test_a_search_can_be_followed(client: Client, search_worker: Worker) -> None:
    """The caller's `traceparent` is taken on."""
    header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with traced(header) as trace_id:
        client.search(vector=bytes(8), company_id=COMPANY)
    assert trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert "search_answered" in events(search_worker, trace_id)


def test_a_message_that_is_delivered_several_times_at_once(celery_only: Celery, search_worker: Worker) -> None:
    """Threads that have the same task at hand do not end each other's."""
    trace_id = token_hex(16)
    task_id = f"{trace_id}-{token_hex(8)}"
    arguments = {"query": {"vector": "00" * 8}, "company_id": COMPANY}
    before = errors(search_worker)
    for _ in range(50):
        celery_only.send_task("lookalike.search", kwargs=arguments, task_id=task_id, queue="search")
    eventually("all are answered", lambda: events(search_worker, trace_id).count("search_answered") == 50)
    assert errors(search_worker) == before


def test_a_delivery_can_be_followed(
    client: Client, bucket: OssObjectStore, ingest_worker: Worker, worker_env: Mapping[str, str], tmp_path: Path
) -> None:
    """The trace of an HTTP request goes on: in the listener's line, and in the worker's."""
    bucket.put("traced/delivered.jpg", photos()["flower.jpg"])
    trace_id = "5bf92f3577b34da6a3ce929d0e0e4736"
    body = b"object=traced/delivered.jpg&meta_id=3&company_id=62"
    with Listening(worker_env, tmp_path / "listener") as listener:
        header = f"00-{trace_id}-00f067aa0ba902b7-01"
        assert listener.post("/events", body, headers={"traceparent": header}).status_code == 200
        lines = [json.loads(line) for line in listener.log.read_text().splitlines() if line.startswith("{")]
    assert [line["event"] for line in lines if line.get("trace_id") == trace_id] == ["delivered"]
    settled(client)
    assert "batch_settled" in events(ingest_worker, trace_id)


def test_a_command_can_be_followed(client: Client, ingest_worker: Worker, worker_env: Mapping[str, str]) -> None:
    """All that it sends is in the trace of `TRACEPARENT`."""
    trace_id = "6bf92f3577b34da6a3ce929d0e0e4736"
    environment = {**os.environ, **worker_env, "TRACEPARENT": f"00-{trace_id}-00f067aa0ba902b7-01"}
    command = (PROGRAM, "enqueue", "traced/none.jpg", "--meta-id", "4", "--company-id", str(COMPANY))
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
    settled(client)
    assert "event_dead" in events(ingest_worker, trace_id)


async def _asearch(client: Client) -> str:
    with traced() as trace_id:
        await client.asearch(vector=bytes(8), company_id=COMPANY)
    return trace_id


def test_async_code_has_its_trace_too(client: Client, search_worker: Worker) -> None:
    """In whatever thread the call is made."""
    trace_id = asyncio.run(_asearch(client))
    assert "search_answered" in events(search_worker, trace_id)


def test_spans_are_exported_as_one_tree(
    collector: str,
    worker_env: Mapping[str, str],
    start_worker: Callable[..., Worker],
    bucket: OssObjectStore,
    tmp_path: Path,
) -> None:
    """From the application's span through the tasks to each stage, also of processes that were forked.

    No span tells a key or a tenant, an error's message no more than an attribute.
    """
    bucket.put("traced/otel.jpg", photos()["flower.jpg"])
    environment = {**on_own_databases(worker_env, 13), "OTEL_EXPORTER_OTLP_ENDPOINT": collector}
    moved = {name: value for name, value in environment.items() if name.endswith("_URL") or name.startswith("OTEL")}
    forked = ("-Q", "ingest", "-P", "prefork", "-c", "1", "-n", "forked@%h")
    threaded = ("-Q", "search", "-P", "threads", "-c", "4", "-n", "threaded@%h")
    with (
        start_worker(*forked, log=tmp_path / "forked", **moved) as worker,
        start_worker(*threaded, log=tmp_path / "threaded", **moved),
    ):
        done = subprocess.run(
            [sys.executable, "-c", APPLICATION],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        trace_id = done.stdout.strip()
        eventually("the batch is settled", lambda: "batch_settled" in events(worker, trace_id))
    ours = {span["id"]: span for span in Collector.spans if span["trace_id"] == trace_id}

    def path(span: dict[str, Any]) -> str:
        parent = ours.get(span["parent"])
        return f"{path(parent) if parent else ''}/{span['name']}"

    assert {path(span) for span in ours.values()} >= {
        "/upload",
        "/upload/enqueue",
        "/upload/enqueue/lookalike.ingest",
        "/upload/enqueue/lookalike.ingest/download",
        "/upload/enqueue/lookalike.ingest/decode_and_hash",
        "/upload/enqueue/lookalike.ingest/upsert",
        "/upload/lookalike.search",
        "/upload/lookalike.search/lookalike.search",
        "/upload/lookalike.search/lookalike.search/search",
    }
    assert {span["service"] for span in ours.values()} == {"application", "lookalike-worker"}
    assert set().union(*(span["attributes"] for span in ours.values())) == {
        *("messaging.system", "messaging.operation.type", "messaging.destination.name"),
        *("messaging.batch.message_count", "rows", "queries", "error.type"),
    }
    failed = [span["name"] for span in ours.values() if span["failed"]]
    assert "lookalike.search" in failed
    assert "upload" not in failed
    assert not [body for body in Collector.bodies if b"secret-key" in body or b"traced/" in body]
