"""Traces: read strictly, carried in the ids of tasks, and told by the log."""

import re
from uuid import uuid4

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from producer import traced, tracing
from producer.tracing import Trace

TRACE = Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")


def test_a_header_is_read() -> None:
    """The example of the specification, and one of a later version, of which more may follow."""
    assert tracing.parse(TRACE.header) == TRACE
    assert tracing.parse(f"cc-{TRACE.trace_id}-{TRACE.span_id}-01-what-the-future-brings") == TRACE


@pytest.mark.parametrize(
    "header",
    [
        None,
        7,
        "",
        TRACE.header.upper(),
        f"{TRACE.header}-more",
        f"ff-{TRACE.trace_id}-{TRACE.span_id}-01",
        f"00-{'0' * 32}-{TRACE.span_id}-01",
        f"00-{TRACE.trace_id}-{'0' * 16}-01",
        f"00-{TRACE.trace_id}-{TRACE.span_id}-01\n",
        f"01-{TRACE.trace_id}-{TRACE.span_id}-01-{'x' * 600}",
    ],
)
def test_what_is_no_header_is_none(header: object) -> None:
    """As the specification has it: another form, zeros, the version that is forbidden; and what is too long."""
    assert tracing.parse(header) is None


@given(st.text(max_size=80) | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{30,34}-[0-9a-f]{14,18}-[0-9a-f]{1,3}-?x?"))
def test_any_text_is_a_trace_or_none(text: str) -> None:
    """Nothing that is sent is ever an error, and what is read is always hex of the right length."""
    trace = tracing.parse(text)
    if trace is not None:
        assert re.fullmatch(r"[0-9a-f]{32}", trace.trace_id)
        assert re.fullmatch(r"[0-9a-f]{16}", trace.span_id)
        assert tracing.parse(trace.header) == trace


def test_a_task_belongs_to_the_trace_that_it_was_sent_in() -> None:
    """Its id says so, wherever it turns up; each has an id of its own."""
    with traced(TRACE.header) as trace_id:
        ids = {tracing.new_task_id() for _ in range(100)}
    assert trace_id == TRACE.trace_id
    assert len(ids) == 100
    assert {tracing.of_task(one).trace_id for one in ids} == {TRACE.trace_id}


def test_outside_of_a_trace_each_task_begins_one() -> None:
    """Two calls that have nothing to do with each other do not share one."""
    first, second = (tracing.of_task(tracing.new_task_id()) for _ in range(2))
    assert first.trace_id != second.trace_id


def test_a_task_of_others_is_traced_too() -> None:
    """By its header if that is one, else by its UUID, else by a trace of its own."""
    uuid = uuid4()
    assert tracing.of_task(str(uuid), TRACE.header) == TRACE
    assert tracing.of_task(str(uuid), "nonsense").trace_id == uuid.hex
    assert re.fullmatch(r"[0-9a-f]{32}", tracing.of_task("a task of mine").trace_id)
    assert tracing.of_task("0" * 32 + "-" + "0" * 16).trace_id != "0" * 32


def test_the_id_counts_more_than_a_header_of_another_trace() -> None:
    """A batch that the sweeper publishes again stays in its own trace, and is not of the sweep's."""
    with traced() as own:
        task_id = tracing.new_task_id()
    assert tracing.of_task(task_id, TRACE.header).trace_id == own
    same = Trace(own, "1" * 16)
    assert tracing.of_task(task_id, same.header) == same


def test_log_lines_say_it() -> None:
    """All of structlog's inside, and none after."""
    with traced() as trace_id:
        assert structlog.contextvars.get_contextvars()["trace_id"] == trace_id
        with traced() as inner:
            assert inner == trace_id
    assert "trace_id" not in structlog.contextvars.get_contextvars()
