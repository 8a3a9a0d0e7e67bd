"""What was lost on the way, or whose worker died, is published again; what only waits is not."""

from dataclasses import dataclass, field

import pytest

from contract import INGEST_QUEUE, QUARANTINE_QUEUE, ServiceUnavailable
from producer.ledger import Batch, Ledger
from worker.services.sweeper import Sweeper

NOW = 1_800_000_000.0
OVERDUE = 120.0
EVENTS = [{"object_key": "a.jpg", "meta_id": 1, "company_id": 1}]


@dataclass
class Broker:
    """Keeps what is published."""

    queued: dict[str, int] = field(default_factory=dict)
    down: bool = False
    published: list[Batch] = field(default_factory=list)

    def publish(self, batch: Batch, *, answer: bool = False) -> None:
        """Publish."""
        if self.down:
            raise ServiceUnavailable("the broker is away")
        assert answer, "somebody may wait for the result"
        self.published.append(batch)

    def waiting(self, queue: str) -> int:
        """The length of a queue."""
        return self.queued.get(queue, 0)


@pytest.fixture
def broker() -> Broker:
    """A broker with an empty queue."""
    return Broker()


def sweep(ledger: Ledger, broker: Broker, after: float) -> list[str]:
    """Sweep so many seconds after the beginning; the ids that were published."""
    broker.published.clear()
    assert Sweeper(ledger, broker, now=lambda: NOW + after)() == len(broker.published)
    return [batch.id for batch in broker.published]


def test_a_batch_that_nobody_has_begun_on_is_lost_after_a_while(ledger: Ledger, broker: Broker) -> None:
    """A worker that was killed between taking a message and noting it leaves such a batch. It keeps its events."""
    ledger.record(Batch("lost", EVENTS), NOW)
    assert sweep(ledger, broker, OVERDUE - 1) == []
    assert sweep(ledger, broker, OVERDUE) == ["lost"]
    assert broker.published[0].events == EVENTS


def test_a_batch_of_a_dead_worker_is_published_when_its_lease_ends(ledger: Ledger, broker: Broker) -> None:
    """As long as the lease is renewed it is not, however long it takes."""
    ledger.record(Batch("begun", EVENTS), NOW)
    ledger.begin(Batch("begun", EVENTS), NOW + 1, lease=60)
    ledger.renew(["begun"], NOW + 1000)
    assert sweep(ledger, broker, 999) == []
    assert sweep(ledger, broker, 1000) == ["begun"]


def test_behind_a_backlog_nothing_is_taken_for_lost(ledger: Ledger, broker: Broker) -> None:
    """A message that waits its turn is not doubled; what a dead worker held is published all the same."""
    ledger.record(Batch("waiting", EVENTS), NOW)
    ledger.begin(Batch("begun", EVENTS), NOW, lease=60)
    broker.queued[INGEST_QUEUE] = 1000
    assert sweep(ledger, broker, 10_000) == ["begun"]
    broker.queued[INGEST_QUEUE] = 999
    assert sweep(ledger, broker, 10_000) == ["waiting"]


def test_a_backlog_of_one_queue_is_none_of_another(ledger: Ledger, broker: Broker) -> None:
    """Events may wait in quarantine for ever, where nobody runs a worker for them, and lost uploads are found still."""
    ledger.record(Batch("lost", EVENTS), NOW)
    ledger.record(Batch("quarantined", EVENTS, queue=QUARANTINE_QUEUE), NOW)
    broker.queued[QUARANTINE_QUEUE] = 1
    assert sweep(ledger, broker, 10_000) == ["lost"]
    broker.queued[QUARANTINE_QUEUE] = 0
    assert sweep(ledger, broker, 10_001) == ["quarantined"]
    assert [batch.queue for batch in broker.published] == [QUARANTINE_QUEUE]


def test_what_is_published_again_is_given_time(ledger: Ledger, broker: Broker) -> None:
    """Two sweepers at once publish it once, and each time it waits twice as long for the next."""
    ledger.record(Batch("lost", EVENTS), NOW)
    times = [after for after in range(0, 2000, 10) if sweep(ledger, broker, after)]
    assert times == [120, 240, 480, 960, 1920]


def test_what_has_ended_is_not_published(ledger: Ledger, broker: Broker) -> None:
    """Settled, or struck out."""
    ledger.record(Batch("settled", EVENTS), NOW)
    ledger.settle("settled", {}, NOW)
    ledger.record(Batch("forgotten", EVENTS), NOW)
    ledger.forget("forgotten")
    assert sweep(ledger, broker, 10_000) == []


def test_a_retry_that_waits_is_not_lost(ledger: Ledger, broker: Broker) -> None:
    """It is overdue only when its delay is over too."""
    ledger.record(Batch("first", EVENTS), NOW)
    ledger.settle("first", {}, NOW, successors=[Batch("retry", EVENTS, 1, delay=100)])
    assert sweep(ledger, broker, OVERDUE + 99) == []
    assert sweep(ledger, broker, OVERDUE + 100) == ["retry"]


def test_a_sweep_without_a_broker_loses_nothing(ledger: Ledger, broker: Broker) -> None:
    """What was taken and not published is overdue again."""
    ledger.begin(Batch("begun", EVENTS), NOW, lease=60)
    broker.down = True
    with pytest.raises(ServiceUnavailable):
        sweep(ledger, broker, 60)
    broker.down = False
    assert sweep(ledger, broker, 60 + OVERDUE) == ["begun"]
