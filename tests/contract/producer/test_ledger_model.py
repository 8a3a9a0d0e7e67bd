"""Whatever is done in whatever order, the ledger counts as a simple model does."""

from dataclasses import dataclass

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from contract import INGEST_QUEUE, QUARANTINE_QUEUE, DeadLetter, Overloaded, Reason
from producer.ledger import Batch, DeadLettersFull, Ledger

CAP = 6
OVERDUE = 120.0
LIMIT = 6
LETTER = DeadLetter({"meta_id": 1}, Reason.NOT_FOUND, "no such object", 1, "first", "last")
RESULT = {"indexed": 1}

# Few names, so that the same batch is met again.
ids = st.sampled_from(["a", "b", "c", "d"])
sizes = st.integers(1, 3)
leases = st.integers(0, 100).map(float)
queues = st.sampled_from([INGEST_QUEUE, QUARANTINE_QUEUE])
fates = st.sampled_from([Reason.CRASH, Reason.TIMEOUT])


@dataclass
class Open:
    """An open batch, as the model has it."""

    size: int
    first_seen: float
    attempts: int
    due: float
    lease: float | None = None
    sweeps: int = 0
    queue: str = INGEST_QUEUE
    deaths: int = 0
    fate: Reason | None = None

    def give_up(self, due: float) -> bool:
        """End the lease, if there is one."""
        held = self.lease is not None
        if held:
            self.lease, self.due = None, due
        return held


class LedgerMachine(RuleBasedStateMachine):
    """A dictionary for the open batches, one for the settled, and a counter of letters."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger.from_url(self.url, dead_letters_max=CAP, overdue_seconds=OVERDUE, outstanding_max=LIMIT)
        with redis.Redis.from_url(self.url) as server:
            server.flushdb()
        self.now = 0.0
        self.open: dict[str, Open] = {}
        self.settled: dict[str, dict[str, int]] = {}
        self.dead = 0

    def teardown(self) -> None:
        """Close the connections."""
        self.ledger.close()

    @rule(seconds=st.integers(1, 200))
    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.now += seconds

    @rule(name=ids, size=sizes, queue=queues)
    def record(self, name: str, size: int, queue: str) -> None:
        """Open a batch that is neither open nor settled, if there is room for its events."""
        outstanding = self.outstanding()
        new = name not in self.open and name not in self.settled
        try:
            recorded = self.ledger.record(Batch(name, [1] * size, queue=queue), self.now)
        except Overloaded:
            assert new
            assert outstanding + size > LIMIT
            return
        if new:
            assert recorded == outstanding + size <= LIMIT
            self.open[name] = Open(size, self.now, 0, self.now + OVERDUE, queue=queue)
        assert recorded == self.outstanding()

    @rule(name=ids, size=sizes, lease=leases)
    def begin(self, name: str, size: int, lease: float) -> None:
        """Count an attempt, or hear how it ended, or that another worker is at it."""
        begun = self.ledger.begin(Batch(name, [1] * size), self.now, lease=lease)
        if name in self.settled:
            assert begun.settled == self.settled[name]
            return
        batch = self.open.setdefault(name, Open(size, self.now, 0, 0))
        busy = batch.lease is not None and batch.lease > self.now
        if not busy:
            if batch.lease is not None:
                batch.deaths, batch.fate = batch.deaths + 1, Reason.CRASH
            batch.attempts += 1
            batch.lease = batch.due = self.now + lease
        assert (begun.attempts, begun.first_seen, begun.settled) == (batch.attempts, batch.first_seen, None)
        assert (begun.busy, begun.queue) == (busy, batch.queue)
        assert (begun.deaths, begun.fate) == (batch.deaths, batch.fate)

    @rule(names=st.lists(ids, unique=True), seconds=leases)
    def renew(self, names: list[str], seconds: float) -> None:
        """Keep leases; a batch that was not begun has none to keep."""
        self.ledger.renew(names, self.now + seconds)
        for name in names:
            batch = self.open.get(name)
            if batch is not None and batch.lease is not None:
                batch.lease = batch.due = self.now + seconds

    @rule(names=st.lists(ids, unique=True), seconds=leases)
    def let_go(self, names: list[str], seconds: float) -> None:
        """Give leases up; what was begun does not count."""
        self.ledger.let_go(names, self.now + seconds)
        for name in names:
            batch = self.open.get(name)
            if batch is not None and batch.give_up(self.now + seconds):
                batch.attempts -= 1

    @rule(name=ids, fate=fates)
    def died(self, name: str, fate: Reason) -> None:
        """Note a death, if a worker was at it."""
        batch = self.open.get(name)
        found = self.ledger.died(name, fate, self.now)
        if batch is None or not batch.give_up(self.now + OVERDUE):
            assert found is None
            return
        batch.deaths, batch.fate = batch.deaths + 1, fate
        assert found == Batch(name, [1] * batch.size, queue=batch.queue)

    @rule(queue=st.none() | queues)
    def take_overdue(self, queue: str | None) -> None:
        """Take all batches of a kind whose time has come; each comes again later, and later."""
        taken = {batch.id: batch for batch in self.ledger.take_overdue(self.now, limit=100, queue=queue)}
        expected = {
            name: batch
            for name, batch in self.open.items()
            if queue == (batch.queue if batch.lease is None else None) and batch.due <= self.now
        }
        assert taken == {name: Batch(name, [1] * batch.size, queue=batch.queue) for name, batch in expected.items()}
        for batch in expected.values():
            batch.due = self.now + OVERDUE * 2 ** min(batch.sweeps, 6)
            batch.sweeps += 1

    @rule(name=ids)
    def forget(self, name: str) -> None:
        """Strike out a batch."""
        self.ledger.forget(name)
        self.open.pop(name, None)

    @rule(
        name=ids,
        dead=st.integers(0, 3),
        successors=st.lists(st.tuples(sizes, st.integers(0, 50), queues, st.integers(0, 2)), max_size=2),
        attempts=st.integers(0, 9),
    )
    def settle(self, name: str, dead: int, successors: list[tuple[int, int, str, int]], attempts: int) -> None:
        """End a batch, if it is open and there is room for its letters."""
        carry_on = [
            Batch(f"{name}/{len(self.settled)}/{number}", [1] * size, attempts, delay, queue, deaths)
            for number, (size, delay, queue, deaths) in enumerate(successors)
        ]
        full = name in self.open and dead > 0 and self.dead + dead > CAP
        try:
            ours = self.ledger.settle(name, RESULT, self.now, dead=[LETTER] * dead, successors=carry_on)
        except DeadLettersFull:
            assert full
            return
        assert not full
        assert ours == (name in self.open)
        if ours:
            first_seen = self.open.pop(name).first_seen
            self.settled[name] = RESULT
            self.dead += dead
            for batch in carry_on:
                due = self.now + batch.delay + OVERDUE
                self.open[batch.id] = Open(
                    len(batch.events), first_seen, attempts, due, queue=batch.queue, deaths=batch.deaths
                )

    def outstanding(self) -> int:
        """Count the events of the open batches."""
        return sum(batch.size for batch in self.open.values())

    @invariant()
    def counts_agree(self) -> None:
        """Outstanding events, the age of the oldest, and the letters."""
        summary = self.ledger.summary(self.now)
        assert summary.outstanding == self.ledger.outstanding() == self.outstanding()
        assert summary.dead == self.dead == len(list(self.ledger.dead_letters()))
        first = min((batch.first_seen for batch in self.open.values()), default=self.now)
        assert summary.oldest_seconds == self.now - first


def test_the_ledger_agrees_with_the_model(url: str) -> None:
    """For many random stories."""
    machine = type("Machine", (LedgerMachine,), {"url": url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
