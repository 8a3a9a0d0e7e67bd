"""Events of one picture, worked on at the same time and in any order: the last state of its object wins."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract import Reason
from tests.unit.worker.stage import EVENT, ID, KEY, Actor, Stage
from worker.core.errors import Transient
from worker.core.outcomes import Dead, Indexed, Retry, Unchanged


@pytest.fixture
def stage() -> Stage:
    """An empty index, and an object."""
    stage = Stage()
    stage.objects.bodies[KEY] = b"old"
    return stage


def steps(actor: Actor, count: int) -> Actor:
    """Let an actor make its first steps: it stands before the call after them."""
    for _ in range(count + 1):
        assert not actor.step()
    return actor


# The calls of an attempt at a new picture, each after a step.
CLAIM, COUNT_OF_READS, GET, UPSERT = 1, 2, 4, 5


def test_an_attempt_that_read_before_a_later_one_began_does_not_end_it(stage: Stage) -> None:
    """It has written the old vector over the new one, and its retry writes the new one again."""
    early = steps(stage.ingest(), GET)
    stage.objects.bodies[KEY] = b"new"
    assert stage.ingest().finish() == Indexed(EVENT)
    assert stage.vector == b"new"
    lost = early.finish()
    assert stage.vector == b"old"
    assert isinstance(lost, Retry)
    assert lost.overtaken
    assert not lost.counts
    assert lost.delay >= 0.5
    assert stage.ingest().finish() == Indexed(EVENT)
    assert stage.vector == b"new"


def test_a_row_that_was_written_over_before_its_confirmation_is_not_remembered(stage: Stage) -> None:
    """Or the retry of who wrote over it would find the right row remembered, and leave the wrong one in the index."""
    early = steps(stage.ingest(), GET)
    stage.objects.bodies[KEY] = b"new"
    late = steps(stage.ingest(), UPSERT)
    assert isinstance(early.finish(), Retry)
    assert late.finish() == Indexed(EVENT)
    assert stage.vector == b"old"
    stage.index.lag = 100
    assert stage.ingest().finish() == Indexed(EVENT)
    assert stage.vector == b"new"


def test_an_attempt_that_found_its_object_unchanged_is_confirmed_too(stage: Stage) -> None:
    """It may have looked before the object changed, and is tried again like one that has written."""
    assert stage.ingest().finish() == Indexed(EVENT)
    early = steps(stage.ingest(), COUNT_OF_READS)
    late = steps(stage.ingest(), CLAIM)
    assert isinstance(early.finish(), Retry)
    assert late.finish() == Unchanged(EVENT)


def test_a_try_after_a_death_trusts_no_memory(stage: Stage) -> None:
    """Whoever died may have written over the row that is remembered."""
    early = steps(stage.ingest(), GET)
    stage.objects.bodies[KEY] = b"new"
    assert stage.ingest().finish() == Indexed(EVENT)
    early.step()
    assert stage.vector == b"old"
    early.kill()
    assert stage.ingest(attempt=2).finish() == Indexed(EVENT)
    assert stage.vector == b"new"


def test_while_a_picture_is_deleted_no_attempt_begins(stage: Stage) -> None:
    """The event waits a second, without using a try, and nothing of the picture is read."""
    assert stage.ingest().finish() == Indexed(EVENT)
    delete = steps(stage.delete(), 1)
    stage.objects.read.clear()
    waiting = stage.ingest().finish()
    assert waiting == Retry(EVENT, "a delete of it is under way", 1.0, counts=False)
    assert stage.objects.read == []
    assert delete.finish() == 1
    assert stage.ingest().finish() == Indexed(EVENT)


def test_a_picture_is_deleted_by_one_at_a_time(stage: Stage) -> None:
    """A second delete of it is told to come again, and leaves the first one's lock alone."""
    delete = steps(stage.delete(), 1)
    with pytest.raises(Transient, match="another delete"):
        stage.delete().finish()
    assert stage.claims.locked == {ID}
    delete.finish()
    assert stage.claims.locked == set()


@pytest.mark.parametrize("step", [0, CLAIM, COUNT_OF_READS, GET, UPSERT])
def test_an_attempt_under_way_does_not_outlive_a_delete(stage: Stage, step: int) -> None:
    """The object and its row are deleted while an attempt is at any step: in the end there is no row."""
    early = steps(stage.ingest(), step)
    del stage.objects.bodies[KEY]
    stage.delete().finish()
    outcome = early.finish()
    for attempt in (1, 2, 3, 4):
        assert isinstance(outcome, Retry)
        outcome = stage.ingest(attempt).finish()
    assert isinstance(outcome, Dead)
    assert outcome.reason is Reason.NOT_FOUND
    assert stage.vector is None


def test_a_write_that_failed_leaves_no_memory_of_the_row_before(stage: Stage) -> None:
    """It may have been carried out: a replay of its dead letter, which is a first try, trusts no memory."""
    assert stage.ingest().finish() == Indexed(EVENT)
    stage.objects.bodies[KEY] = b"new"
    stage.index.failing = 1
    assert isinstance(stage.ingest().finish(), Retry)
    assert stage.vector == b"new"
    stage.objects.bodies[KEY] = b"old"
    assert stage.ingest().finish() == Indexed(EVENT)
    assert stage.vector == b"old"


@dataclass
class Delivery:
    """A message with the picture's event. One that was delivered twice is settled by whoever ends first."""

    attempt: int = 1
    settled: bool = False


@dataclass
class Picture:
    """One picture: its object is overwritten and deleted while attempts take their steps, hang and die."""

    stage: Stage = field(default_factory=Stage)
    waiting: list[Delivery] = field(default_factory=list)
    running: list[tuple[Actor, Delivery, int]] = field(default_factory=list)
    deletes: list[Actor] = field(default_factory=list)

    def put(self, which: int, count: int) -> None:
        """Upload the object, and report it; mostly an attempt begins at once.

        An upload that follows a delete waits for its answer.
        """
        if not self.deletes:
            self.stage.objects.bodies[KEY] = b"red" if self.stage.objects.bodies.get(KEY) == b"blue" else b"blue"
            self.waiting.append(Delivery())
            if which:
                self.begin(-1, count)

    def remove(self, *_: int) -> None:
        """Delete the object, then ask for its row to be deleted."""
        if self.stage.objects.bodies.pop(KEY, None):
            self.deletes.append(self.stage.delete())

    def begin(self, which: int, count: int) -> None:
        """Take a message that waits, not always the first, and some steps with it."""
        if self.waiting:
            delivery = self.waiting.pop(which % len(self.waiting))
            if not delivery.settled:
                self.running.append((self.stage.ingest(delivery.attempt), delivery, delivery.attempt))
                self.step(-1, count)

    def step(self, which: int, count: int) -> None:
        """Let an attempt take some steps. Where it ends, do what its outcome asks for."""
        if not self.running:
            return
        number = which % len(self.running)
        actor, delivery, attempt = self.running[number]
        if not any(actor.step() for _ in range(count)):
            return
        del self.running[number]
        assert actor.error is None
        retry = actor.result
        if isinstance(retry, Retry) and (retry.overtaken or not delivery.settled):
            self.waiting.append(Delivery(attempt + 1 if retry.counts else attempt))
        delivery.settled = True

    def kill(self, which: int, _: int) -> None:
        """End an attempt where it stands: its message is delivered again."""
        if self.running:
            actor, delivery, attempt = self.running.pop(which % len(self.running))
            actor.kill()
            self.deliver_again(delivery, attempt)

    def hang(self, which: int, _: int) -> None:
        """Deliver a message again though the attempt at it goes on."""
        if self.running:
            self.deliver_again(*self.running[which % len(self.running)][1:])

    def deliver_again(self, delivery: Delivery, attempt: int) -> None:
        """Put a message back, unless it was settled."""
        if not delivery.settled:
            delivery.attempt = max(delivery.attempt, attempt) + 1
            self.waiting.append(delivery)

    def step_delete(self, _: int, count: int) -> None:
        """Let a delete take some steps; one that fails is tried again."""
        if self.deletes and any(self.deletes[0].step() for _ in range(count)):
            self.deletes = [self.stage.delete()] if self.deletes[0].error else []

    def trouble(self, which: int, count: int) -> None:
        """Reads that are not fresh are so many writes behind, and the next upsert fails though it is carried out."""
        self.stage.index.lag = count
        self.stage.index.failing = which % 2

    def settle(self, which: int) -> None:
        """Let everything come to its end, one attempt after the other."""
        for _ in range(1000):
            self.step_delete(0, 1000)
            self.step(which, 1000)
            if not self.running:
                self.begin(0, 0)
        assert not self.deletes
        assert not self.running
        assert not self.waiting


ACTIONS = (
    [Picture.put, Picture.step] * 4
    + [Picture.begin, Picture.remove, Picture.step_delete]
    + [Picture.kill, Picture.hang, Picture.trouble]
)


@settings(max_examples=600)
@given(
    st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 3), st.integers(0, 9)), max_size=12), st.integers(-1, 0)
)
def test_the_last_state_of_the_object_wins(
    plan: list[tuple[Callable[[Picture, int, int], None], int, int]],
    last: int,
) -> None:
    """Whatever overlaps, hangs, fails or dies: once all has ended, the row is the object's, or both are gone."""
    picture = Picture()
    for act, which, count in plan:
        act(picture, which, count)
    picture.settle(last)
    assert picture.stage.vector == picture.stage.objects.bodies.get(KEY)
