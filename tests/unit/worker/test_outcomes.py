"""What an error means for an event."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import Reason, UploadEvent
from producer.app import visibility_timeout
from worker.core.errors import (
    IdCollision,
    Misconfigured,
    NotAnImage,
    NotReadable,
    ObjectMissing,
    Rejected,
    TooLarge,
    Transient,
)
from worker.core.outcomes import Dead, Retry, RetryPolicy

EVENT = UploadEvent(object_key="a.jpg", meta_id=1, company_id=2)
POLICY = RetryPolicy()
attempts = st.integers(1, 1000)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NotAnImage("x"), Reason.NOT_AN_IMAGE),
        (TooLarge("x"), Reason.TOO_LARGE),
        (NotReadable("x"), Reason.NOT_READABLE),
        (IdCollision("x"), Reason.ID_COLLISION),
        (Rejected("x"), Reason.REJECTED),
    ],
)
def test_what_can_never_succeed_is_dead_at_once(error: Exception, reason: Reason) -> None:
    """A permanent failure is not tried twice, and its class is the dead letter's reason."""
    assert POLICY.decide(EVENT, error, 1) == Dead(EVENT.model_dump(), reason, "x")


@given(attempts)
def test_misconfiguration_never_kills_an_event(attempt: int) -> None:
    """A wrong secret is not the event's fault: it is retried for ever, and its tries do not count."""
    outcome = POLICY.decide(EVENT, Misconfigured("AccessDenied"), attempt)
    assert isinstance(outcome, Retry)
    assert not outcome.counts


@given(attempts)
def test_a_transient_failure_is_retried_until_its_tries_are_used(attempt: int) -> None:
    """The last of the tries makes a dead letter of class `unavailable`."""
    outcome = POLICY.decide(EVENT, Transient("reset"), attempt)
    if attempt < POLICY.attempts:
        assert isinstance(outcome, Retry)
        assert outcome.counts
    else:
        assert outcome == Dead(EVENT.model_dump(), Reason.UNAVAILABLE, "reset")


def test_a_missing_object_is_looked_for_again() -> None:
    """An upload may still be under way: the fourth time it is missing, the event is dead."""
    assert [type(POLICY.decide(EVENT, ObjectMissing("404"), n)) for n in (1, 2, 3, 4)] == [
        *[Retry] * 3,
        Dead,
    ]


def test_an_error_nobody_thought_of_is_retried() -> None:
    """A fault of ours does not lose the event, and the dead letter names the error's class at last."""
    assert isinstance(POLICY.decide(EVENT, KeyError("x"), 1), Retry)
    last = POLICY.decide(EVENT, KeyError("x"), POLICY.attempts)
    assert isinstance(last, Dead)
    assert last.error == "KeyError: 'x'"


@given(attempts, st.floats(0, 1))
def test_no_wait_reaches_half_the_visibility_timeout(attempt: int, chance: float) -> None:
    """A waiting message is held unacknowledged, so it must be done long before it is delivered again."""
    assert 0 < POLICY.delay(attempt, lambda: chance) <= POLICY.cap < visibility_timeout() / 2


def test_the_tries_last_longer_than_a_restart_of_milvus() -> None:
    """Even with the shortest waits that chance can give, the tries take longer than the 60 s of a restart."""
    assert sum(POLICY.delay(n, lambda: 0.0) for n in range(1, POLICY.attempts)) > 120


def test_an_explanation_is_one_short_line() -> None:
    """An SDK's page of text does not become a dead letter's error."""
    outcome = POLICY.decide(EVENT, NotAnImage("a\nb" + "c" * 5000), 1)
    assert isinstance(outcome, Dead)
    assert outcome.error.startswith("a bccc")
    assert len(outcome.error) == 500
