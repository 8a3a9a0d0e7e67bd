"""A worker that is seen to die or to hang leaves its batch to another at once."""

import pytest

from contract import QUARANTINE_QUEUE, Reason
from producer.ledger import Batch, Ledger
from tests.contract.worker.outbox import Outbox
from worker.services.deaths import Deaths

NOW = 1_800_000_000.0
EVENTS = [{"object_key": "a.jpg", "meta_id": 1, "company_id": 1}]


@pytest.fixture
def outbox() -> Outbox:
    """What is published."""
    return Outbox()


@pytest.fixture
def deaths(ledger: Ledger, outbox: Outbox) -> Deaths:
    """The service on a real ledger."""
    return Deaths(ledger, outbox, now=lambda: NOW)


def test_the_batch_is_published_on_its_queue(ledger: Ledger, deaths: Deaths, outbox: Outbox) -> None:
    """Its next worker need not wait for the lease, and knows of the death."""
    batch = Batch("b", EVENTS, queue=QUARANTINE_QUEUE)
    ledger.record(batch, NOW)
    ledger.begin(batch, NOW, lease=60)
    deaths("b", Reason.TIMEOUT)
    assert outbox.sent == [(batch, 0)]
    begun = ledger.begin(batch, NOW + 1, lease=60)
    assert (begun.busy, begun.deaths, begun.fate, begun.attempts) == (False, 1, Reason.TIMEOUT, 2)


def test_a_death_counts_once(ledger: Ledger, deaths: Deaths, outbox: Outbox) -> None:
    """The process that hangs notes it, and so does the one that sees it end."""
    ledger.begin(Batch("b", EVENTS), NOW, lease=60)
    deaths("b", Reason.TIMEOUT)
    deaths("b", Reason.CRASH)
    begun = ledger.begin(Batch("b", EVENTS), NOW)
    assert (begun.deaths, begun.fate) == (1, Reason.TIMEOUT)
    assert len(outbox.sent) == 1


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "never begun"])
def test_what_nobody_holds_is_left_alone(ledger: Ledger, deaths: Deaths, outbox: Outbox, ended: bool) -> None:
    """A child may die after its batch was settled."""
    if ended:
        ledger.begin(Batch("b", EVENTS), NOW, lease=60)
        ledger.settle("b", {}, NOW)
    deaths("b", Reason.CRASH)
    assert outbox.sent == []


def test_a_broker_that_is_away_loses_nothing(ledger: Ledger, deaths: Deaths, outbox: Outbox) -> None:
    """The batch is overdue in time, and the sweeper finds it."""
    ledger.begin(Batch("b", EVENTS), NOW, lease=60)
    outbox.down = True
    deaths("b", Reason.CRASH)
    assert [batch.id for batch in ledger.take_overdue(NOW + 1000, limit=9, queue="ingest")] == ["b"]
