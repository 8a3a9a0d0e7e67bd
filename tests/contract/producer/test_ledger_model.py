"""Whatever is done in whatever order, the ledger counts as a simple model does."""

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from contract import DeadLetter, Reason
from producer.ledger import Batch, DeadLettersFull, Ledger

CAP = 6
LETTER = DeadLetter({"meta_id": 1}, Reason.NOT_FOUND, "no such object", 1, "first", "last")
RESULT = {"indexed": 1}

# Few names, so that the same batch is met again.
ids = st.sampled_from(["a", "b", "c", "d"])
sizes = st.integers(1, 3)
times = st.integers(0, 1000).map(float)


class LedgerMachine(RuleBasedStateMachine):
    """A dictionary for the open batches, one for the settled, and a counter of letters."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger.from_url(self.url, dead_letters_max=CAP)
        with redis.Redis.from_url(self.url) as server:
            server.flushdb()
        self.open: dict[str, tuple[int, float, int]] = {}
        self.settled: dict[str, dict[str, int]] = {}
        self.dead = 0

    def teardown(self) -> None:
        """Close the connections."""
        self.ledger.close()

    @rule(name=ids, size=sizes, now=times)
    def record(self, name: str, size: int, now: float) -> None:
        """Open a batch that is neither open nor settled."""
        self.ledger.record(Batch(name, [1] * size), now)
        if name not in self.open and name not in self.settled:
            self.open[name] = (size, now, 0)

    @rule(name=ids, size=sizes, now=times)
    def begin(self, name: str, size: int, now: float) -> None:
        """Count an attempt, or hear how it ended."""
        begun = self.ledger.begin(Batch(name, [1] * size), now)
        if name in self.settled:
            assert begun.settled == self.settled[name]
            return
        size, first_seen, attempts = self.open.get(name, (size, now, 0))
        self.open[name] = (size, first_seen, attempts + 1)
        assert (begun.attempts, begun.first_seen, begun.settled) == (attempts + 1, first_seen, None)

    @rule(name=ids)
    def forget(self, name: str) -> None:
        """Strike out a batch."""
        self.ledger.forget(name)
        self.open.pop(name, None)

    @rule(name=ids, dead=st.integers(0, 3), successors=st.lists(sizes, max_size=2), attempts=st.integers(0, 9))
    def settle(self, name: str, dead: int, successors: list[int], attempts: int) -> None:
        """End a batch, if it is open and there is room for its letters."""
        carry_on = [
            Batch(f"{name}/{len(self.settled)}/{number}", [1] * size, attempts)
            for number, size in enumerate(successors)
        ]
        full = name in self.open and dead > 0 and self.dead + dead > CAP
        try:
            self.ledger.settle(name, RESULT, dead=[LETTER] * dead, successors=carry_on)
        except DeadLettersFull:
            assert full
            return
        assert not full
        if name in self.open:
            _, first_seen, _ = self.open.pop(name)
            self.settled[name] = RESULT
            self.dead += dead
            self.open |= {batch.id: (len(batch.events), first_seen, attempts) for batch in carry_on}

    @invariant()
    def counts_agree(self) -> None:
        """Outstanding events, the age of the oldest, and the letters."""
        summary = self.ledger.summary(1000.0)
        assert summary.outstanding == sum(size for size, _, _ in self.open.values())
        assert summary.dead == self.dead == len(list(self.ledger.dead_letters()))
        first = min((first_seen for _, first_seen, _ in self.open.values()), default=1000.0)
        assert summary.oldest_seconds == 1000.0 - first


def test_the_ledger_agrees_with_the_model(url: str) -> None:
    """For many random stories."""
    machine = type("Machine", (LedgerMachine,), {"url": url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
