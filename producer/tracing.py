"""One trace for what belongs together: the call that enqueued, a worker's tries, the dead letter; and so for searches.

Traces are those of W3C Trace Context (https://www.w3.org/TR/trace-context/). The id of every task that is sent here is
`<trace id>-<16 random hex digits>`, so whatever knows the task knows its trace: the ledger, which publishes lost
batches again, results, Flower, each log line. Where OpenTelemetry is installed, spans are made, and joined across
processes by a `traceparent` header beside the message. Without it this costs nothing but the ids.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from importlib import import_module
from importlib.util import find_spec
from secrets import token_hex
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

import structlog

# None where the extra `otel` is not installed.
otel: Final[Any] = import_module("opentelemetry.trace") if find_spec("opentelemetry") else None

HEADER: Final = "traceparent"
# Version 00 as it is; of later versions what is known of them: the same fields, and perhaps more behind.
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_TASK_ID: Final = re.compile(r"([0-9a-f]{32})-([0-9a-f]{16})")
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16
_MOST_CHARACTERS: Final = 512
_FLUSH_MILLISECONDS: Final = 5000

Kind = Literal["INTERNAL", "PRODUCER", "CONSUMER", "CLIENT"]


class Trace(NamedTuple):
    """A place in a trace: 32 and 16 hex digits."""

    trace_id: str
    span_id: str

    @property
    def header(self) -> str:
        """As `traceparent` says it: sampled, for whether it is exported is decided where it is."""
        return f"00-{self.trace_id}-{self.span_id}-01"


_current: Final[ContextVar[Trace | None]] = ContextVar("lookalike_trace", default=None)


def parse(text: object) -> Trace | None:
    """Read a `traceparent`; None for anything that is none, for it may come from anybody."""
    if not isinstance(text, str) or len(text) > _MOST_CHARACTERS:
        return None
    found = _TRACEPARENT.fullmatch(text)
    if found is None or (text.startswith("00") and found[3]) or found[1] == _NO_TRACE or found[2] == _NO_SPAN:
        return None
    return Trace(found[1], found[2])


def current() -> Trace | None:
    """Where this code is: in OpenTelemetry's span, or in what `traced` began."""
    if otel is not None:
        context = otel.get_current_span().get_span_context()
        if context.is_valid:
            return Trace(f"{context.trace_id:032x}", f"{context.span_id:016x}")
    return _current.get()


def new_task_id() -> str:
    """Make the id of a task, which is of the current trace, or of a new one."""
    trace = current()
    return f"{token_hex(16) if trace is None else trace.trace_id}-{token_hex(8)}"


def headers_for(task_id: str) -> dict[str, str]:
    """Say where a task comes from, to be sent beside it: its id tells the trace, but not the span."""
    if otel is None:
        return {}
    trace = current()
    return {HEADER: trace.header} if trace is not None and task_id.startswith(trace.trace_id) else {}


def of_task(task_id: str, header: object = None) -> Trace:
    """Tell a task's trace: by its id if that is ours, by its header, by its id if it is a UUID; or it begins one."""
    named, sent = _TASK_ID.fullmatch(task_id), parse(header)
    if named is not None and named[1] != _NO_TRACE:
        ours = sent is not None and sent.trace_id == named[1]
        return sent if ours and sent is not None else Trace(named[1], named[2])
    if sent is not None:
        return sent
    try:
        trace_id = UUID(task_id).hex
    except ValueError:
        trace_id = _NO_TRACE
    return Trace(token_hex(16) if trace_id == _NO_TRACE else trace_id, token_hex(8))


@contextmanager
def traced(traceparent: str | None = None) -> Iterator[str]:
    """Have all that is enqueued and searched inside belong to one trace, and each log line of structlog's say it.

        with traced(request.headers.get("traceparent")) as trace_id:
            client.enqueue("photos/1.jpg", meta_id=1, company_id=7)

    Args:
        traceparent: the caller's, of W3C Trace Context. Where it is None or not valid, the trace that is under way
            goes on, or a new one begins.

    Yields:
        The trace's id, 32 hex digits, by which all log lines of producers and workers can be found.
    """
    trace = parse(traceparent) or current() or Trace(token_hex(16), token_hex(8))
    with within(trace):
        yield trace.trace_id


@contextmanager
def within(trace: Trace) -> Iterator[None]:
    """Be in a trace that is known."""
    token = _current.set(trace)
    try:
        with structlog.contextvars.bound_contextvars(trace_id=trace.trace_id):
            yield
    finally:
        _current.reset(token)


def span(
    name: str,
    kind: Kind = "INTERNAL",
    attributes: Mapping[str, str | int] | None = None,
    *,
    parent: Trace | None = None,
) -> AbstractContextManager[Any]:
    """Make a span of OpenTelemetry's, where that is installed and exports; else nothing.

    Args:
        name: what is done.
        kind: as OpenTelemetry has it.
        attributes: counts and names that are the same for everybody: never a key, a tenant or a secret.
        parent: in another process; the current span unless given.
    """
    if otel is None:
        return nullcontext()
    made: AbstractContextManager[Any] = otel.get_tracer("lookalike").start_as_current_span(
        name,
        context=None if parent is None else _remote(parent),
        kind=otel.SpanKind[kind],
        attributes=attributes,
    )
    return made


def _remote(parent: Trace) -> Any:
    context = otel.SpanContext(
        int(parent.trace_id, 16),
        int(parent.span_id, 16),
        is_remote=True,
        trace_flags=otel.TraceFlags(otel.TraceFlags.SAMPLED),
    )
    return otel.set_span_in_context(otel.NonRecordingSpan(context))


def configure(service: str, environment: Mapping[str, str] = os.environ) -> None:
    """Export the spans of this process by OTLP, where the extra `otel` is installed and a variable says where to.

    Everything else is OpenTelemetry's own, too: `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME`,
    `OTEL_TRACES_SAMPLER`. To be called after a fork: the exporter has a thread.
    """
    wanted = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if otel is None or not any(environment.get(name) for name in wanted):
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above

    named = {} if environment.get("OTEL_SERVICE_NAME") else {"service.name": service}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    otel.set_tracer_provider(provider)


def flush() -> None:
    """Export what is left, within seconds, before the process ends."""
    if otel is not None:
        # The provider of the API alone, without the extra, has nothing to export.
        export = getattr(otel.get_tracer_provider(), "force_flush", None)
        if export is not None:
            export(_FLUSH_MILLISECONDS)
