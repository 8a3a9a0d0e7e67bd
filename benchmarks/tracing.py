"""What tracing costs a producer: `Publisher.accept` as it is, against the same with random ids and nothing else.

On a Valkey of its own, in blocks with tracing and without by turns.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch
from uuid import uuid4

import redis
from rich.console import Console

from benchmarks import report
from benchmarks.comparison import interleave
from benchmarks.cost import Cost, Meter
from benchmarks.report import Measured, Metric, compare
from contract import INGEST, QUEUES
from devstack import Stack
from producer import ClientSettings, tracing
from producer.connections import Connections
from producer.publisher import Publisher

# A process of its own, whose processor time is not the producer's.
_COLLECTOR: Final = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
print(server.server_port, flush=True)
server.serve_forever()
"""
_UNTRACED: Final = SimpleNamespace(
    new_task_id=lambda: str(uuid4()), headers_for=lambda _: {}, span=lambda *_: nullcontext(), messaging=lambda *_: {}
)


@contextmanager
def _collector() -> Iterator[str]:
    with subprocess.Popen([sys.executable, "-c", _COLLECTOR], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.terminate()


def measure(
    name: str, around: AbstractContextManager[Any], meter: Meter, *, batches: int, pairs: int
) -> list[Measured]:
    """Accept batches of one event with tracing, within a context, and without."""
    connections = Connections(ClientSettings.from_env())
    publisher = Publisher(connections.app, connections.ledger)
    broker = redis.Redis.from_url(os.environ["LOOKALIKE_BROKER_URL"])
    event = [{"object_key": "uploads/7/1/photo.jpg", "meta_id": 1, "company_id": 7}]

    def accept() -> None:
        for _ in range(batches):
            publisher.accept(event)

    def clear() -> None:
        connections.ledger.connection.flushdb()
        broker.delete(QUEUES[INGEST])

    def on() -> Cost:
        clear()
        return meter.measure(accept)

    def off() -> Cost:
        clear()
        with patch("producer.publisher.tracing", _UNTRACED):
            return meter.measure(accept)

    with closing(connections), closing(broker), around:
        found = interleave(on, off, pairs)
        clear()
    scale = 1e6 / batches
    metrics = [
        Metric("producer's CPU", "us/message", lambda cost: cost.process, scale),
        Metric("Valkey's CPU", "us/message", lambda cost: cost.valkey, scale),
    ]
    return list(compare(name, found, metrics))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracing", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few blocks, to see that it runs")
    amount = {"batches": 20, "pairs": 2} if parser.parse_args(arguments).quick else {"batches": 200, "pairs": 20}
    console = Console()
    with TemporaryDirectory(prefix="lookalike-benchmark-") as directory, Stack(Path(directory)) as stack:
        os.environ.update(stack.env)
        with closing(Meter(stack.env["LOOKALIKE_LEDGER_URL"])) as meter, _collector() as endpoint:
            with patch.object(tracing, "otel", None):
                report.show(console, measure("ids alone", nullcontext(), meter, **amount))
                report.show(console, measure("ids and the header, in a trace", tracing.traced(), meter, **amount))
            report.show(console, measure("the extra, nothing exported", nullcontext(), meter, **amount))
            os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
            tracing.configure("benchmark")
            report.show(console, measure("the extra, spans exported", nullcontext(), meter, **amount))
            tracing.flush()


if __name__ == "__main__":
    main()
