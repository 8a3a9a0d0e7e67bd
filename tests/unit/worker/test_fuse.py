"""A worker where nothing can succeed stops itself, and goes on by itself."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from contract import Reason, ServiceUnavailable, UploadEvent
from worker.core.errors import FuseBlown, Misconfigured, Transient
from worker.core.outcomes import Dead, Indexed, Outcome, Retry, Unchanged
from worker.services.fuse import Blown, Cause, Fuse, FuseRules

EVENT = UploadEvent(object_key="a.jpg", meta_id=1, company_id=2)
REFUSED = Misconfigured("OSS says 403 AccessDenied")
DEAD = Dead(EVENT.model_dump(), Reason.NOT_AN_IMAGE, "text")


class World:
    """A fuse with everything around it; nothing happens by itself but what a test calls."""

    def __init__(self, **rules: float) -> None:
        self.now = 1000.0
        self.refusal: Exception | None = None
        self.probes = 0
        self.broker_is_away = False
        self.done: list[str] = []
        self.reported: list[Blown | None] = []
        self.told = threading.Event()
        self.fuse = Fuse(
            self,
            probe=self.probe,
            report=self.report,
            rules=FuseRules(**rules),  # type: ignore[arg-type]
            now=lambda: self.now,
        )

    def stop(self) -> None:
        """Stop consuming."""
        self._do("stop")

    def resume(self) -> None:
        """Consume again."""
        self._do("resume")

    def _do(self, what: str) -> None:
        if self.broker_is_away:
            raise ServiceUnavailable("the broker is away")
        self.done.append(what)

    def probe(self) -> None:
        """Ask OSS and Milvus."""
        self.probes += 1
        if self.refusal is not None:
            raise self.refusal

    def report(self, blown: Blown | None) -> None:
        """Keep the state."""
        self.reported.append(blown)
        self.told.set()

    def after(self, seconds: float) -> None:
        """Let time pass, then check."""
        self.now += seconds
        self.fuse.check()

    def ends(self, outcome: Outcome, times: int = 1) -> None:
        """Let events end."""
        self.fuse.judge([outcome] * times)

    def is_whole(self) -> bool:
        """Whether the fuse lets work through."""
        try:
            self.fuse.require_whole()
        except FuseBlown:
            return False
        return True


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """The log's lines."""
    with capture_logs() as lines:
        yield lines


def test_a_whole_fuse_does_nothing() -> None:
    """While all is well nobody is asked, told or stopped."""
    world = World()
    world.ends(Indexed(EVENT), 1000)
    world.after(100)
    assert (world.is_whole(), world.done, world.reported, world.probes) == (True, [], [], 0)


def test_misconfiguration_stops_the_worker_until_it_is_mended(logged: list[Any]) -> None:
    """It stops once, says why, hands back what is in hand, and resumes when the probe passes."""
    world = World()
    world.refusal = REFUSED
    world.fuse.blow(REFUSED)
    with pytest.raises(FuseBlown, match="misconfigured: OSS says 403 AccessDenied"):
        world.fuse.require_whole()
    world.after(0)
    world.after(15)
    assert world.done == ["stop"]
    assert world.reported == [Blown(Cause.MISCONFIGURED, "OSS says 403 AccessDenied", 1000.0, 0.0)] * 2
    world.refusal = None
    world.after(15)
    assert world.is_whole()
    assert world.done == ["stop", "resume"]
    assert world.reported[-1] is None
    assert [(line["event"], line["log_level"], line["cause"]) for line in logged] == [
        ("fuse_blown", "error", "misconfigured"),
        ("fuse_mended", "info", "misconfigured"),
    ]
    assert logged[-1]["seconds"] == 30


def test_a_blown_fuse_is_not_blown_again(logged: list[Any]) -> None:
    """The threads that are refused after the first add nothing."""
    world = World()
    for _ in range(16):
        world.fuse.blow(REFUSED)
    assert len(logged) == 1


def test_an_outage_is_not_the_mend() -> None:
    """While OSS or Milvus does not answer, nobody knows that it is mended; the reason stays the one that is known."""
    world = World()
    world.refusal = Transient("Milvus: code 2")
    world.fuse.blow(REFUSED)
    world.after(15)
    world.after(15)
    assert not world.is_whole()
    assert {blown.why for blown in world.reported if blown} == {"OSS says 403 AccessDenied"}


def test_the_reason_is_the_one_that_holds_now() -> None:
    """When one thing is mended and another is not, the other is named."""
    world = World()
    world.fuse.blow(REFUSED)
    world.refusal = Misconfigured("the collection does not fit")
    world.after(0)
    world.after(15)
    assert world.reported[-1] == Blown(Cause.MISCONFIGURED, "the collection does not fit", 1000.0, 0.0)


def test_it_says_so_again_once_a_minute(logged: list[Any]) -> None:
    """However often it is looked at, the log has a line a minute."""
    world = World()
    world.refusal = REFUSED
    world.fuse.blow(REFUSED)
    for _ in range(12):
        world.after(15)
    assert [line["event"] for line in logged] == ["fuse_blown"] + ["fuse_still_blown"] * 3


def test_what_a_probe_cannot_tell_makes_the_rests_longer() -> None:
    """Where the probe passes and the work is refused all the same, the worker rests for 30 s, 60 s and so on."""
    world = World()
    rests = []
    for _ in range(7):
        world.fuse.blow(REFUSED)
        begun = world.now
        while not world.is_whole():
            world.after(5)
        rests.append(world.now - begun)
    assert rests == [5, 30, 60, 120, 240, 480, 600]


def test_an_event_that_is_indexed_ends_the_probation() -> None:
    """What blows after that blows for the first time."""
    world = World()
    for _ in range(3):
        world.fuse.blow(REFUSED)
        world.after(1000)
    world.ends(Indexed(EVENT))
    world.fuse.blow(REFUSED)
    world.after(0)
    assert world.is_whole()


def test_a_probe_that_always_says_no_is_not_believed_for_ever() -> None:
    """The objects that it asks for may be refused for reasons of their own: every ten minutes events are tried."""
    world = World()
    world.refusal = REFUSED
    world.fuse.blow(REFUSED)
    world.after(599)
    assert not world.is_whole()
    world.after(1)
    assert world.is_whole()
    world.fuse.blow(REFUSED)
    world.refusal = None
    world.after(0)
    assert world.is_whole()


def test_the_broker_may_be_away() -> None:
    """Neither the stop nor the resumption is forgotten, and nobody who works is told of it."""
    world = World()
    world.refusal = REFUSED
    world.broker_is_away = True
    world.fuse.blow(REFUSED)
    world.after(0)
    assert world.done == []
    world.broker_is_away = False
    world.after(15)
    assert world.done == ["stop"]
    world.broker_is_away, world.refusal = True, None
    world.after(15)
    assert world.is_whole()
    assert world.reported[-1] is not None
    world.broker_is_away = False
    world.after(15)
    assert world.done == ["stop", "resume"]
    assert world.reported[-1] is None


def test_a_stop_whose_answer_was_lost_is_resumed_from() -> None:
    """The worker may have stopped though nobody heard it; it is told to go on in any case."""
    world = World()
    world.broker_is_away = True
    world.fuse.blow(REFUSED)
    world.after(0)
    assert world.is_whole()
    world.broker_is_away = False
    world.after(15)
    assert world.done == ["resume"]


def test_what_a_killed_process_left_stopped_is_resumed() -> None:
    """Whoever takes its place cannot know, and so tells the worker to consume, once, and takes the report back."""
    world = World()
    world.fuse.inherit()
    world.after(0)
    world.after(15)
    assert (world.done, world.reported) == (["resume"], [None])


def test_a_report_that_fails_stops_nothing() -> None:
    """A ledger that is away keeps no worker from going on."""
    world = World()

    def fail(blown: Blown | None) -> None:
        raise ServiceUnavailable(f"no ledger for {blown}")

    world.fuse._report = fail  # noqa: SLF001 - the double's own is replaced
    world.fuse.blow(REFUSED)
    world.after(0)
    assert world.done == ["stop", "resume"]


def test_too_many_dead_letters_stop_the_worker() -> None:
    """More than half of the last 500 events: not before there are 500, and not at half."""
    world = World()
    world.ends(DEAD, 250)
    world.ends(Unchanged(EVENT), 250)
    assert world.is_whole()
    world.ends(DEAD, 250)
    assert world.is_whole()
    world.ends(Indexed(EVENT), 499)
    world.ends(DEAD, 250)
    assert world.is_whole()
    world.ends(DEAD)
    assert not world.is_whole()
    world.after(0)
    assert world.reported == [
        Blown(Cause.DEAD_SHARE, "251 of the last 500 events became dead letters", 1000.0, rest=30.0)
    ]


def test_what_says_nothing_of_the_worker_does_not_count() -> None:
    """Events that fit no contract, and events that are tried again, are neither dead nor events."""
    world = World(events=10)
    world.ends(Dead({}, Reason.INVALID, "no"), 100)
    world.ends(Retry(EVENT, "reset", 1), 100)
    world.ends(DEAD, 9)
    assert world.is_whole()
    world.ends(DEAD)
    assert not world.is_whole()


def test_a_share_of_one_never_blows() -> None:
    """Whoever wants dead letters and no stop can have it."""
    world = World(events=10, dead_share=1.0)
    world.ends(DEAD, 1000)
    assert world.is_whole()


def test_after_a_rest_a_few_events_are_tried() -> None:
    """Twenty events decide: where they die too, the worker rests for twice as long, up to ten minutes."""
    world = World(events=100)
    world.ends(DEAD, 100)
    for rest in (30, 60, 120, 240, 480, 600, 600):
        world.after(rest - 1)
        assert not world.is_whole()
        world.after(1)
        assert world.is_whole()
        world.ends(DEAD, 19)
        assert world.is_whole()
        world.ends(DEAD)
        assert not world.is_whole()
    assert world.probes == 0


def test_a_trial_that_goes_well_ends_the_matter() -> None:
    """Then the whole window counts again, and the next rest is the first."""
    world = World(events=100)
    world.ends(DEAD, 100)
    world.after(30)
    world.ends(DEAD, 10)
    world.ends(Indexed(EVENT), 10)
    world.ends(DEAD, 99)
    assert world.is_whole()
    world.ends(DEAD)
    world.after(30)
    assert world.is_whole()


def test_an_ingest_is_watched() -> None:
    """The outcomes go through as they are, and count."""
    world = World(events=2)
    outcomes: list[Outcome] = [DEAD, DEAD]
    watched = world.fuse.watching(lambda events, attempt, since: outcomes * attempt if events and since else [])
    assert watched([1, 2], 1, 1000.0) == outcomes
    assert not world.is_whole()


def test_a_thread_of_its_own_acts_at_once_and_ends() -> None:
    """Whoever blows the fuse waits for nothing; at the end the report is taken back."""
    world = World(probe=3000.0)
    world.refusal = REFUSED
    world.fuse.start()
    world.fuse.blow(REFUSED)
    assert world.told.wait(10)
    world.fuse.close()
    assert world.done == ["stop"]
    assert world.reported[-1] is None
    assert "fuse" not in {thread.name for thread in threading.enumerate()}


def test_the_thread_outlives_a_fault_of_ours() -> None:
    """A probe that raises what nobody thought of leaves the fuse blown, and is made again."""
    world = World(probe=0.001)
    world.refusal = KeyError("a fault")
    world.fuse.start()
    world.fuse.blow(REFUSED)
    assert world.told.wait(10)
    world.told.clear()
    world.refusal = None
    assert world.told.wait(10)
    world.fuse.close()
