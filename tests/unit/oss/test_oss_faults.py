"""Which requests a fault breaks, and how often."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devstack.oss.faults import Fault, FaultBook
from devstack.oss.requestlog import RequestCount, RequestLog


@pytest.mark.parametrize(
    ("fault", "matching"),
    [
        (Fault("status"), {("GET", "a/b"), ("PUT", "a/b"), ("GET", "")}),
        (Fault("status", method="GET"), {("GET", "a/b"), ("GET", "")}),
        (Fault("status", key="a/b"), {("GET", "a/b"), ("PUT", "a/b")}),
        (Fault("status", key=""), {("GET", "")}),
        (Fault("status", prefix="a/"), {("GET", "a/b"), ("PUT", "a/b")}),
        (Fault("status", prefix="b"), set()),
    ],
)
def test_a_fault_is_for_some_requests(fault: Fault, matching: set[tuple[str, str]]) -> None:
    """Method, key and prefix each narrow a fault down; the empty key is the bucket itself."""
    requests = [("GET", "a/b"), ("PUT", "a/b"), ("GET", "")]
    assert {request for request in requests if fault.matches(*request)} == matching


def test_a_fault_skips_and_ends() -> None:
    """The first `skip` matching requests pass, the next `times` break, the rest pass; the counts tell."""
    book = FaultBook()
    book.add(Fault("status", key="a", skip=2, times=2))
    broken = [book.before("GET", key) is not None for key in ("a", "b", "a", "a", "a", "a")]
    assert broken == [False, False, False, True, True, False]
    (rule,) = book.rules()
    assert (rule.seen, rule.hits) == (4, 2)


def test_a_fault_without_an_end_goes_on() -> None:
    """`times=None` breaks every matching request, until the rule is removed."""
    book = FaultBook()
    rule = book.add(Fault("truncate", times=None))
    assert all(book.during("GET", "a") for _ in range(10))
    assert book.remove(rule.id)
    assert not book.remove(rule.id)
    assert book.during("GET", "a") is None


def test_faults_take_turns() -> None:
    """Of several rules the first breaks a request, and the next follows when that is used up."""
    book = FaultBook()
    first, second = Fault("status", status=503), Fault("status", status=404, times=None)
    book.add(first)
    book.add(second)
    assert [book.before("GET", "a") for _ in range(3)] == [first, second, second]


@pytest.mark.parametrize(
    ("kind", "method", "phases"),
    [
        ("status", "GET", (True, False)),
        ("status", "PUT", (True, False)),
        ("reset", "GET", (False, True)),
        ("reset", "PUT", (True, False)),
        ("stall", "HEAD", (True, False)),
        ("truncate", "GET", (False, True)),
        ("truncate", "PUT", (False, False)),
        ("corrupt", "HEAD", (False, False)),
        ("drip", "GET", (False, True)),
    ],
)
def test_faults_break_requests_or_bodies(kind: Any, method: str, phases: tuple[bool, bool]) -> None:
    """A status replaces any operation; the rest break bodies of GET, and reset and stall replace other methods."""
    book = FaultBook()
    book.add(Fault(kind, times=None))
    assert (book.before(method, "a") is not None, book.during(method, "a") is not None) == phases


@pytest.mark.parametrize(
    ("after", "length", "cut"), [(None, 10, 5), (None, 1, 0), (3, 10, 3), (30, 10, 10), (0, 10, 0)]
)
def test_the_break_is_in_the_body(after: int | None, length: int, cut: int) -> None:
    """The break comes after so many bytes, by default half of the body, and never behind its end."""
    assert Fault("truncate", after=after).cut(length) == cut


@given(
    st.builds(
        Fault,
        kind=st.sampled_from(["status", "reset", "truncate", "corrupt", "stall", "drip"]),
        method=st.none() | st.just("GET"),
        key=st.none() | st.text(st.characters(exclude_categories=["Cs"])),
        times=st.none() | st.integers(1, 5),
        after=st.none() | st.integers(0, 5),
        interval=st.floats(0, 1),
    )
)
def test_a_fault_survives_json(fault: Fault) -> None:
    """What the client writes the server reads."""
    assert Fault.from_json(json.loads(json.dumps(fault.to_json()))) == fault


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"kind": "fire"},
        {"kind": ["status"]},
        {"kind": "status", "status": 200},
        {"kind": "status", "when": "now"},
        {"kind": "status", "times": 0},
        {"kind": "status", "times": "twice"},
        {"kind": "status", "skip": -1},
        {"kind": "drip", "chunk": 0},
    ],
    ids=str,
)
def test_what_is_no_fault_is_refused(data: dict[str, Any]) -> None:
    """An unknown kind or field, and a value out of its bounds, are errors when the fault is made."""
    with pytest.raises(ValueError, match=r"."):
        Fault.from_json(data)


def test_the_code_follows_the_status() -> None:
    """A fault that names no code answers with the one that OSS has for the status."""
    assert Fault("status", status=404).error_code == "NoSuchKey"
    assert Fault("status", status=418).error_code == "InternalError"
    assert Fault("status", status=403, code="InvalidObjectState").error_code == "InvalidObjectState"


def test_requests_are_counted_up_to_a_limit() -> None:
    """Requests are counted by method and key; beyond the limit the ones that have been quiet longest are forgotten."""
    log = RequestLog(limit=2)
    for method, key in [("HEAD", "a"), ("GET", "b"), ("HEAD", "a"), ("GET", "c")]:
        log.add(method, "pictures", key)
    assert log.counts() == [RequestCount("HEAD", "pictures", "a", 2), RequestCount("GET", "pictures", "c", 1)]
    log.clear()
    assert log.counts() == []
