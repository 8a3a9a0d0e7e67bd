"""One trace for what belongs together: the call that enqueued, a worker's tries, the dead letter; and so for searches.

Traces are those of W3C Trace Context (https://www.w3.org/TR/trace-context/). The id of every task that is sent here is
`<trace id>-<16 random hex digits>`, so whatever knows the task knows its trace: the ledger, which publishes lost
batches again, results, Flower, each log line. Where OpenTelemetry is installed, spans are made, and joined across
processes by a `traceparent` header beside the message. Decision 28 says why.
"""

import atexit
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from importlib import import_module
from secrets import token_hex
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

import structlog

log = structlog.get_logger(__name__)


def _imported(name: str) -> Any:
    # `opentelemetry` is a namespace: that something of it is there does not tell that the rest is.
    try:
        return import_module(name)
    except ImportError:
        return None


# None where the extra `otel` is not installed.
otel: Final[Any] = _imported("opentelemetry.trace")

HEADER: Final = "traceparent"
# Version 00 as it is; of later versions what is known of them: the same fields, and perhaps more behind.
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_TASK_ID: Final = re.compile(r"([0-9a-f]{32})-([0-9a-f]{16})")
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16
_MOST_CHARACTERS: Final = 512
_SAMPLED: Final = 1
_FLUSH_SECONDS: Final = 5.0
# What ends the exports that `configure` began.
_endings: Final[list[Callable[[], None]]] = []

Kind = Literal["INTERNAL", "PRODUCER", "CONSUMER", "SERVER"]
Attributes = Mapping[str, str | int]


class Trace(NamedTuple):
    """A place in a trace.

    Attributes:
        trace_id: 32 hex digits.
        span_id: 16 hex digits.
        sampled: whether whoever began it records it.
    """

    trace_id: str
    span_id: str
    sampled: bool = True

    @property
    def header(self) -> str:
        """As `traceparent` says it."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"


_current: Final[ContextVar[Trace | None]] = ContextVar("lookalike_trace", default=None)


def parse(text: object) -> Trace | None:
    """Read a `traceparent`; None for anything that is none, for it may come from anybody."""
    if not isinstance(text, str) or len(text) > _MOST_CHARACTERS:
        return None
    found = _TRACEPARENT.fullmatch(text)
    if found is None or (text.startswith("00") and found[4]) or found[1] == _NO_TRACE or found[2] == _NO_SPAN:
        return None
    return Trace(found[1], found[2], bool(int(found[3], 16) & _SAMPLED))


def current() -> Trace | None:
    """Where this code is: in OpenTelemetry's span, or in what `traced` began."""
    if otel is not None:
        context = otel.get_current_span().get_span_context()
        if context.is_valid:
            return Trace(f"{context.trace_id:032x}", f"{context.span_id:016x}", bool(context.trace_flags & _SAMPLED))
    return _current.get()


def new_task_id() -> str:
    """Make the id of a task, which is of the current trace, or of a new one."""
    trace = current()
    return f"{token_hex(16) if trace is None else trace.trace_id}-{token_hex(8)}"


def headers_for(task_id: str) -> dict[str, str]:
    """Say where a task comes from, to be sent beside it: its id tells the trace, but not the span."""
    trace = current()
    return {HEADER: trace.header} if trace is not None and task_id.startswith(trace.trace_id) else {}


def of_task(task_id: str, header: object = None) -> Trace:
    """Tell a task's trace: by its id if that is ours, by its header, by its id if it is a UUID; or it begins one."""
    named, sent = _TASK_ID.fullmatch(task_id), parse(header)
    if named is not None and named[1] != _NO_TRACE and named[2] != _NO_SPAN:
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
    """Be in a trace that is known. Spans inside belong to it; where the current one does already, they are its."""
    here = current()
    with ExitStack() as stack:
        if otel is not None and (here is None or here.trace_id != trace.trace_id):
            remote = otel.NonRecordingSpan(_context(trace))
            stack.enter_context(otel.use_span(remote, record_exception=False, set_status_on_exception=False))
        stack.callback(_current.reset, _current.set(trace))
        stack.enter_context(structlog.contextvars.bound_contextvars(trace_id=trace.trace_id))
        yield


@contextmanager
def joined(traces: Iterable[Trace | None]) -> Iterator[None]:
    """Do one thing for several callers: in the trace of the first that has one, and linked to those of the others."""
    callers = list({trace.trace_id: trace for trace in traces if trace is not None}.values())
    with ExitStack() as stack:
        if callers:
            stack.enter_context(within(callers[0]))
        if len(callers) > 1:
            log.debug("batch_shared", trace_ids=[caller.trace_id for caller in callers])
            stack.enter_context(span("share", attributes={"traces": len(callers)}, links=callers[1:]))
        yield


def others(traces: Iterable[Trace | None]) -> list[Trace]:
    """Of several traces those that are not the current one, each once."""
    here = current()
    found = {trace.trace_id: trace for trace in traces if trace is not None}
    return [trace for trace_id, trace in found.items() if here is None or trace_id != here.trace_id]


def span(
    name: str, kind: Kind = "INTERNAL", attributes: Attributes | None = None, *, links: Iterable[Trace] = ()
) -> AbstractContextManager[Any]:
    """Make a span of OpenTelemetry's, within the current one, where that is installed and exports; else nothing.

    Of an error only the class is told, for its message may name a key or a tenant.

    Args:
        name: what is done.
        kind: as OpenTelemetry has it.
        attributes: counts and names that are the same for everybody: never a key, a tenant or a secret.
        links: other traces that this is done for.
    """
    return nullcontext() if otel is None else _span(name, kind, attributes, links)


@contextmanager
def _span(name: str, kind: Kind, attributes: Attributes | None, links: Iterable[Trace]) -> Iterator[None]:
    with otel.get_tracer("lookalike").start_as_current_span(
        name,
        kind=otel.SpanKind[kind],
        attributes=attributes,
        links=[otel.Link(_context(link)) for link in links],
        record_exception=False,
        set_status_on_exception=False,
    ):
        try:
            yield
        except BaseException as error:
            fail(error)
            raise


def fail(error: BaseException) -> None:
    """Have the current span say that it failed, and of what class the error is."""
    if otel is not None:
        failed = otel.get_current_span()
        failed.set_attribute("error.type", type(error).__name__)
        failed.set_status(otel.StatusCode.ERROR)


def messaging(operation: Literal["send", "process"], queue: str) -> dict[str, str | int]:
    """What OpenTelemetry's conventions for messaging have a span of a message say."""
    return {
        "messaging.system": "celery",
        "messaging.operation.type": operation,
        "messaging.destination.name": queue,
    }


def _context(trace: Trace) -> Any:
    return otel.SpanContext(
        int(trace.trace_id, 16),
        int(trace.span_id, 16),
        is_remote=True,
        trace_flags=otel.TraceFlags(int(trace.sampled)),
    )


def configure(service: str, environment: Mapping[str, str] = os.environ) -> None:
    """Export the spans of this process by OTLP, where the extra `otel` is installed and a variable says where to.

    Everything else is OpenTelemetry's own, too: `OTEL_TRACES_EXPORTER` (`otlp` or `none`), `OTEL_SERVICE_NAME`,
    `OTEL_TRACES_SAMPLER`. A provider that somebody else has set is left alone. To be called after a fork: the exporter
    has a thread.
    """
    if otel is None or not _wanted(environment) or not isinstance(otel.get_tracer_provider(), otel.ProxyTracerProvider):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - as above
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above
    except ImportError as error:
        log.warning("spans_not_exported", error=str(error))
        return
    named = {} if environment.get("OTEL_SERVICE_NAME") else {"service.name": service}
    # Its own way to end waits for half a minute where nobody takes the spans.
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    otel.set_tracer_provider(provider)
    _endings.append(_ending(provider))


def _ending(provider: Any) -> Callable[[], None]:
    """Have a thread end a provider when it is told to: in SDK 1.45 whoever flushes waits for exports without a bound.

    It waits from the beginning, since Python 3.12 and newer start no more threads when the interpreter ends.
    """
    told = threading.Event()

    def end() -> None:
        told.wait()
        provider.shutdown()

    thread = threading.Thread(target=end, name="lookalike-spans", daemon=True)
    thread.start()

    def tell() -> None:
        told.set()
        thread.join(_FLUSH_SECONDS)

    return tell


def _wanted(environment: Mapping[str, str]) -> bool:
    exporters = [name.strip() for name in environment.get("OTEL_TRACES_EXPORTER", "").split(",") if name.strip()]
    addresses = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return "otlp" in exporters if exporters else any(environment.get(name) for name in addresses)


@atexit.register
def flush() -> None:
    """Export what is left, within 5 s, before the process ends. What is not taken by then is lost."""
    while _endings:
        _endings.pop()()
