"""One trace from the producer's call through the workers and Milvus to what comes of it."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from devstack.pictures import photos
from producer import Client, traced
from producer.tracing import Trace
from tests.integration.listening import Listening
from tests.integration.processes import Worker, eventually, on_own_databases, settled
from worker.adapters.oss import OssObjectStore

COMPANY = 62
# An application of its own, for OpenTelemetry has one provider in a process.
APPLICATION = """
import sys
from opentelemetry import trace
from producer import Client, tracing

tracing.configure("application")
with Client.from_env() as client, trace.get_tracer("application").start_as_current_span("upload") as span:
    client.enqueue("traced/otel.jpg", meta_id=5, company_id=62)
    client.search(vector=bytes(8), company_id=62, timeout=60)
    print(f"{span.get_span_context().trace_id:032x}")
tracing.flush()
"""


class Collector(BaseHTTPRequestHandler):
    """Takes what an OTLP exporter sends."""

    spans: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        """Take spans."""
        request = ExportTraceServiceRequest()
        request.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
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
    (letter,) = [letter for letter in client.dead_letters() if letter.event["object_key"] == "traced/none.jpg"]
    assert letter.trace_id == trace_id


def test_a_search_can_be_followed(client: Client, search_worker: Worker) -> None:
    """The caller's `traceparent` is taken on."""
    header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with traced(header) as trace_id:
        client.search(vector=bytes(8), company_id=COMPANY)
    assert trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert "search_answered" in events(search_worker, trace_id)


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
    """From the application's span through the worker's tasks to each stage; no span tells a key or a tenant."""
    bucket.put("traced/otel.jpg", photos()["flower.jpg"])
    environment = {**on_own_databases(worker_env, 13), "OTEL_EXPORTER_OTLP_ENDPOINT": collector}
    moved = {name: value for name, value in environment.items() if name.endswith("_URL") or name.startswith("OTEL")}
    command = ("-Q", "ingest,search", "-P", "threads", "-c", "4", "-n", "traced@%h")
    with start_worker(*command, log=tmp_path / "log", **moved) as worker:
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
        *("messaging.destination.name", "messaging.batch.message_count", "rows", "queries")
    }


def test_a_delivery_goes_on_with_its_senders_trace(
    worker_env: Mapping[str, str], ingest_worker: Worker, client: Client, tmp_path: Path
) -> None:
    """From the header of the request to the worker's lines about it, also through a batch that is shared."""
    trace = Trace("5" * 31 + "e", "7" * 16)
    event = {"events": [{"eventName": "ObjectCreated:PutObject", "oss": {"object": {"key": "traced/by-oss.jpg"}}}]}
    with Listening(worker_env, tmp_path / "log") as listening:
        answer = listening.post("/events", json.dumps(event).encode(), headers={"traceparent": trace.header})
        assert answer.json()["accepted"] == 1
    settled(client)
    assert "batch_settled" in events(ingest_worker, trace.trace_id)
    assert trace.trace_id in (tmp_path / "log").read_text()
