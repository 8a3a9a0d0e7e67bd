"""The check of the chaos harness: it sees what is wrong, and nothing else."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from contract import DeadLetter, Reason
from tests.chaos.verdict import Row, Upload, Verdict, judge

FIRST = Row(1, 7, "1.jpg", b"vector-1")
SECOND = Row(2, 7, "2.jpg", b"vector-2")


def letter(event: Any, reason: Reason = Reason.CRASH) -> DeadLetter:
    """A dead letter."""
    return DeadLetter(event, reason, "it fell", 1, "", "")


def verdict(
    *uploads: Upload,
    rows: Iterable[Row] = (),
    letters: Iterable[DeadLetter] = (),
    counted: int | None = None,
    stuck: int = 0,
) -> Verdict:
    """What the check says."""
    rows = list(rows)
    accepted = {upload.row.meta_id: upload for upload in uploads}
    return judge(accepted, rows, letters, counted=len(rows) if counted is None else counted, stuck=stuck)


def test_a_row_for_each_event_is_as_promised() -> None:
    """Every event has its row, and nothing else is there."""
    found = verdict(Upload(FIRST), Upload(SECOND), rows=[SECOND, FIRST])
    assert found == Verdict()
    assert found.holds
    assert str(found) == "as promised"


def test_an_event_with_neither_row_nor_letter_is_missing() -> None:
    """It is named by its meta_id."""
    found = verdict(Upload(FIRST), Upload(SECOND), rows=[FIRST])
    assert found == Verdict(missing=(2,))
    assert not found.holds
    assert str(found) == "1 missing: (2,)"


@pytest.mark.parametrize(
    "row",
    [
        replace(FIRST, vector=SECOND.vector),
        replace(FIRST, object_key=SECOND.object_key),
        replace(FIRST, company_id=8),
    ],
    ids=["vector", "key", "company"],
)
def test_a_row_that_is_not_the_events_own_is_wrong(row: Row) -> None:
    """Its vector, its key and its company are those of the event."""
    assert verdict(Upload(FIRST), rows=[row]) == Verdict(wrong=(1,))


def test_a_row_that_nobody_asked_for_is_wrong() -> None:
    """So is one of an event that had to die."""
    assert verdict(Upload(FIRST), rows=[FIRST, SECOND]) == Verdict(wrong=(2,))
    assert verdict(Upload(FIRST, Reason.CRASH), rows=[FIRST]) == Verdict(wrong=(1,), dead_expected=1)


def test_two_ends_of_an_event_are_one_too_many() -> None:
    """Two rows, two letters, or one of each."""
    assert verdict(Upload(FIRST), rows=[FIRST, FIRST]) == Verdict(doubled=(1,))
    dead = letter({"meta_id": 1})
    both = verdict(Upload(FIRST, may_die=frozenset({Reason.CRASH})), rows=[FIRST], letters=[dead])
    assert both == Verdict(doubled=(1,), dead_found=1)
    twice = verdict(Upload(FIRST, Reason.CRASH), letters=[dead, dead])
    assert twice == Verdict(doubled=(1,), dead_expected=1, dead_found=2)


def test_a_row_that_only_counting_sees_is_one_too_many() -> None:
    """A query shows one row of a key, also where the index holds two."""
    found = verdict(Upload(FIRST), rows=[FIRST], counted=2)
    assert found == Verdict(copies=1)
    assert str(found) == "1 copies"


def test_a_dead_letter_is_expected_for_its_reason_alone() -> None:
    """The right one is as promised, also where the event was free to die; for another reason it is not."""
    dead = letter({"meta_id": 1})
    assert verdict(Upload(FIRST, Reason.CRASH), letters=[dead]) == Verdict(dead_expected=1, dead_found=1)
    assert verdict(Upload(FIRST, may_die=frozenset({Reason.CRASH})), letters=[dead]).holds
    assert len(verdict(Upload(FIRST, Reason.INVALID), letters=[dead]).unexpected) == 1
    assert len(verdict(Upload(FIRST), letters=[dead]).unexpected) == 1


@pytest.mark.parametrize("event", [{"meta_id": 9}, {"meta_id": "1"}, {}, ["x"], None], ids=repr)
def test_a_dead_letter_of_nobodys_event_is_unexpected(event: Any) -> None:
    """Whatever its event is."""
    found = verdict(Upload(FIRST), rows=[FIRST], letters=[letter(event)])
    assert len(found.unexpected) == 1
    assert found.dead_found == 1
    assert not found.holds


def test_what_is_outstanding_is_stuck() -> None:
    """Even where every row is there."""
    found = verdict(Upload(FIRST), rows=[FIRST], stuck=3)
    assert found == Verdict(stuck=3)
    assert str(found) == "3 stuck"


def test_a_run_that_failed_keeps_no_promise() -> None:
    """It says why it failed."""
    found = Verdict(failed="the stack did not start")
    assert not found.holds
    assert str(found) == "the stack did not start"
