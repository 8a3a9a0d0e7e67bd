"""Whatever happens to batches and to those who work on them, each event that was accepted ends, once."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from contract import Reason, ServiceUnavailable, UploadEvent
from contract.decoding import decode_as
from producer.ledger import Batch, Ledger
from worker.core.errors import Busy, NotAnImage, Transient
from worker.core.outcomes import Indexed, Outcome, Retry, RetryPolicy, Unchanged
from worker.services.batches import Batches
from worker.services.deaths import Deaths
from worker.services.leases import Leases
from worker.services.sweeper import Sweeper

LEASE = 60.0
POLICY = RetryPolicy(attempts=3)

fates = st.lists(st.sampled_from(["row", "same", "again", "fail", "dead"]), min_size=1, max_size=5)
which = st.integers(0, 99)


class Broker:
    """Messages that nobody has taken yet. Some are lost, and sometimes it is away."""

    def __init__(self) -> None:
        self.messages: list[Batch] = []
        self.down = False

    def publish(self, batch: Batch, *, countdown: float = 0, answer: bool = False) -> None:  # noqa: ARG002
        """Take a message."""
        if self.down:
            raise ServiceUnavailable("the broker is away")
        self.messages.append(batch)

    def waiting(self, queue: str) -> int:
        """How many wait."""
        return sum(batch.queue == queue for batch in self.messages)


class Lives(RuleBasedStateMachine):
    """A real ledger, and everything around it in the hands of chance."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        with redis.Redis.from_url(self.url) as server:
            server.flushdb()
        self.now = 1_800_000_000.0
        self.ledger = Ledger.from_url(self.url, overdue_seconds=120)
        self.broker = Broker()
        self.fates: Sequence[str] = ["row"]
        self.accepted = 0
        self.settled = Counter[int]()
        self.work = Batches(
            self.ledger,
            self.broker,
            self.ingest,
            wait_when_full=60,
            leases=Leases(self.ledger, seconds=LEASE, longest=1e9, now=self.clock),
            now=self.clock,
        )
        self.sweeper = Sweeper(self.ledger, self.broker, now=self.clock)
        self.deaths = Deaths(self.ledger, self.broker, now=self.clock)

    def teardown(self) -> None:
        """Let all be well: then everything ends."""
        self.broker.down, self.fates = False, ["row"]
        for _ in range(60):
            while self.broker.messages:
                self.deliver(self.broker.messages.pop(0))
            self.now += 10_000
            self.sweeper()
        outcome = self.settled + Counter(letter.event["meta_id"] for letter in self.ledger.dead_letters())
        assert outcome == Counter(range(self.accepted)), "each event ends once"
        assert self.ledger.outstanding() == 0
        self.ledger.close()

    def clock(self) -> float:
        """The time."""
        return self.now

    def ingest(self, events: Sequence[object], attempt: int, since: float) -> list[Outcome]:  # noqa: ARG002
        """Have each event end as chance has it."""
        decoded = [decode_as(UploadEvent, event) for event in events]
        outcomes = [self.outcome(event, self.fates[n % len(self.fates)], attempt) for n, event in enumerate(decoded)]
        self.settled.update(outcome.event.meta_id for outcome in outcomes if isinstance(outcome, Indexed | Unchanged))
        return outcomes

    def outcome(self, event: UploadEvent, fate: str, attempt: int) -> Outcome:
        """What became of one event."""
        match fate:
            case "row":
                return Indexed(event)
            case "same":
                return Unchanged(event)
            case "again":
                return Retry(event, "out of time", 0, counts=False)
            case "fail":
                outcome = POLICY.decide(event, Transient("reset"), attempt)
                return replace(outcome, delay=2.0) if isinstance(outcome, Retry) else outcome
            case _:
                return POLICY.decide(event, NotAnImage("text"), attempt)

    def deliver(self, batch: Batch) -> None:
        """Give a message to a worker that lives to tell."""
        message: dict[str, Any] = {"events": list(batch.events)}
        try:
            self.work(batch.id, message)
        except Busy:
            return

    @rule(size=st.integers(1, 4), lost=st.booleans())
    def accept(self, size: int, lost: bool) -> None:
        """Accept events; their message may be lost, as when the producer is killed before it is published."""
        events = [
            {"object_key": f"{meta_id}.jpg", "meta_id": meta_id, "company_id": 1}
            for meta_id in range(self.accepted, self.accepted + size)
        ]
        batch = Batch(f"batch-{self.accepted}", events)
        self.ledger.record(batch, self.now)
        self.accepted += size
        if not lost:
            self.broker.messages.append(batch)

    @precondition(lambda self: self.broker.messages)
    @rule(which=which, fates=fates, twice=st.booleans())
    def work_on(self, which: int, fates: list[str], twice: bool) -> None:
        """Deliver a message, which may come again later."""
        self.fates = fates
        self.deliver(self.take(which, keep=twice))

    @precondition(lambda self: self.broker.messages)
    @rule(which=which, noticed=st.sampled_from([None, Reason.CRASH, Reason.TIMEOUT]), twice=st.booleans())
    def die(self, which: int, noticed: Reason | None, twice: bool) -> None:
        """A worker dies with a batch in its hands, and somebody sees it, or nobody."""
        batch = self.take(which, keep=twice)
        begun = self.ledger.begin(batch, self.now, lease=LEASE)
        if noticed is not None and not begun.busy:
            self.deaths(batch.id, noticed)

    @precondition(lambda self: self.broker.messages)
    @rule(which=which)
    def stop(self, which: int) -> None:
        """A worker is told to stop and gives its batch back; its message is gone."""
        batch = self.take(which, keep=False)
        if not self.ledger.begin(batch, self.now, lease=LEASE).busy:
            self.ledger.let_go([batch.id], self.now)

    @precondition(lambda self: self.broker.messages)
    @rule(which=which)
    def lose(self, which: int) -> None:
        """A worker dies between taking a message and noting it."""
        self.take(which, keep=False)

    @rule(seconds=st.sampled_from([1, 30, 61, 500]), down=st.booleans())
    def sweep(self, seconds: int, down: bool) -> None:
        """Let time pass, and sweep; the broker may be away for it."""
        self.now += seconds
        self.broker.down = down
        try:
            self.sweeper()
        except ServiceUnavailable:
            assert down
        self.broker.down = False

    @invariant()
    def nothing_is_nowhere(self) -> None:
        """What has not ended is outstanding."""
        ended = self.settled.total() + self.ledger.summary(self.now).dead
        assert self.ledger.outstanding() == self.accepted - ended

    def take(self, number: int, *, keep: bool) -> Batch:
        """Take a message off the queue, or (a redelivery to come) only look at it."""
        # The ids of retries are drawn, and with them the order in which a sweep publishes.
        self.broker.messages.sort(key=lambda batch: [event["meta_id"] for event in batch.events])
        number %= len(self.broker.messages)
        return self.broker.messages[number] if keep else self.broker.messages.pop(number)


def test_every_event_ends_once(url: str) -> None:
    """For many random stories."""
    run_state_machine_as_test(
        type("Machine", (Lives,), {"url": url}),
        settings=settings(
            max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
