"""One outcome for each event of a message, and no event fails its siblings."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from contract import LookalikeError, Reason, UploadEvent, row_id
from tests.corpus import encode
from worker.core.errors import Misconfigured, Transient
from worker.core.hashing import create_vector
from worker.core.outcomes import Dead, Indexed, Outcome, Retry, RetryPolicy, Unchanged
from worker.ports import Claimed, Download, Row
from worker.services.helpers import Helpers
from worker.services.ingest import Budget, Ingest
from worker.services.removal import Removal
from worker.services.room import Room
from worker.services.writer import GroupWriter
from worker.testing import MAPPER, MemoryClaims, MemoryIndex, MemoryObjects, fingerprinting

RED = encode(Image.radial_gradient("L"), "PNG")
BLUE = encode(Image.linear_gradient("L"), "PNG")


class World:
    """An ingest with everything around it in memory."""

    def __init__(
        self, *, create: Callable[[bytes], bytes] = create_vector, at_once: int = 1, room: int = 10**7
    ) -> None:
        self.passed = 0.0
        self.stopping = False
        self.objects = MemoryObjects({"red": RED, "blue": BLUE, "text": b"no picture"})
        self.index = MemoryIndex()
        self.claims = MemoryClaims()
        self.room = Room(room)
        self.ingest = Ingest(
            self.objects,
            self.index,
            self.claims,
            GroupWriter(self.index, max_rows=100),
            fingerprinting(create),
            profiles=["ahash"],
            mapper=MAPPER,
            removal=Removal(self.index, self.claims, delete_seconds=0),
            helpers=Helpers(at_once),
            room=self.room,
            policy=RetryPolicy(),
            budget=Budget(begin=60, each=60, write=60),
            stopping=lambda: self.stopping,
            monotonic=lambda: time.monotonic() + self.passed,
        )

    def __call__(self, *events: object, attempt: int = 1, since: float = 0) -> list[Outcome]:
        """Ingest events."""
        return self.ingest(events, attempt, since)

    def forget_recent(self) -> None:
        """Let a minute pass."""
        self.claims.rows.clear()


def event(key: str, meta_id: int = 1, company_id: int = 1) -> dict[str, Any]:
    """An event as it travels."""
    return {"object_key": key, "meta_id": meta_id, "company_id": company_id}


def valid(key: str, meta_id: int = 1, company_id: int = 1) -> UploadEvent:
    """The same, decoded."""
    return UploadEvent(object_key=key, meta_id=meta_id, company_id=company_id)


def test_an_event_becomes_a_row() -> None:
    """The row carries the ids, the key, the vector, and the time."""
    world = World()
    before = time.time_ns() // 1_000_000
    assert world(event("red", 5, 7)) == [Indexed(valid("red", 5, 7))]
    (row,) = world.index.rows.values()
    assert (row.id, row.meta_id, row.company_id, row.object_key) == (row_id(7, 5), 5, 7, "red")
    assert row.vector == create_vector(RED)
    assert before <= row.indexed_at <= time.time_ns() // 1_000_000


def test_a_message_is_one_upsert() -> None:
    """The rows of a message are written together."""
    world = World()
    world(*(event("red", n) for n in range(50)))
    assert world.index.upserts == [50]


def test_a_bad_event_never_fails_its_siblings() -> None:
    """Of a mixed message each event has its own outcome, in the order they came."""
    world = World()
    world.objects.failing["reset"] = Transient("reset by peer")
    world.objects.failing["bug"] = KeyError("bug")
    outcomes = world(
        event("red", 1), event("text", 2), event("reset", 3), event("gone", 4), 5, event("blue", 6), event("bug", 7)
    )
    kinds = [Indexed, Dead, Retry, Retry, Dead, Indexed, Retry]
    assert [type(outcome) for outcome in outcomes] == kinds
    assert outcomes[1] == Dead(event("text", 2), Reason.NOT_AN_IMAGE, getattr(outcomes[1], "error", ""))
    assert outcomes[4] == Dead(5, Reason.INVALID, "Input should be a valid dictionary or instance of UploadEvent")
    assert {row.meta_id for row in world.index.rows.values()} == {1, 6}


@pytest.mark.parametrize("wait", [False, True], ids=["at once", "after a minute"])
def test_an_unchanged_object_is_neither_read_nor_written(wait: bool) -> None:
    """The checksum that the store knows is enough, whether the row was written just now or long ago."""
    world = World()
    world(event("red"))
    if wait:
        world.forget_recent()
    assert world(event("red")) == [Unchanged(valid("red"))]
    assert world.objects.read == ["red"]
    assert world.index.upserts == [1]


def test_a_changed_object_is_written_again() -> None:
    """The row has the vector of the object as it is now."""
    world = World()
    world(event("red"))
    world.objects.bodies["red"] = BLUE
    assert world(event("red")) == [Indexed(valid("red"))]
    assert next(iter(world.index.rows.values())).vector == create_vector(BLUE)


def test_a_moved_object_is_written_again() -> None:
    """The same content under another key is no unchanged object: the row must name the new key."""
    world = World()
    world(event("red"))
    world.objects.bodies["copy"] = RED
    assert world(event("copy")) == [Indexed(valid("copy"))]
    assert next(iter(world.index.rows.values())).object_key == "copy"


def test_an_object_whose_checksum_the_store_does_not_know_is_read() -> None:
    """Without a checksum to compare the object is read, and written only where its row would differ."""
    world = World()
    world(event("red"))
    world.objects.crc = lambda key: None  # type: ignore[method-assign] # noqa: ARG005
    assert world(event("red")) == [Unchanged(valid("red"))]
    assert world.objects.read == ["red", "red"]
    assert world.index.upserts == [1]


def test_a_deleted_row_is_written_again_though_a_stale_read_still_shows_it() -> None:
    """What a Bounded read shows is confirmed by a Strong one before an event is taken for unchanged."""
    world = World()
    world(event("red"))
    world.forget_recent()
    stale = dict(world.index.rows)
    world.index.rows.clear()
    fresh_lookup = world.index.lookup
    world.index.lookup = lambda keys, *, fresh=False: fresh_lookup(keys) if fresh else stale  # type: ignore[method-assign]
    assert world(event("red")) == [Indexed(valid("red"))]


def test_of_a_picture_that_stands_twice_the_last_wins() -> None:
    """One row, of the last event; the one before it counts as unchanged."""
    world = World()
    assert world(event("red"), event("blue")) == [Unchanged(valid("red")), Indexed(valid("blue"))]
    assert [row.object_key for row in world.index.rows.values()] == ["blue"]
    assert world.objects.read == ["blue"]


def test_another_pictures_row_is_never_overwritten() -> None:
    """Where a stored row has the same primary key but other ids, the event is a dead letter."""
    world = World()
    world(event("red", 1, 1))
    other = replace(next(iter(world.index.rows.values())), meta_id=99, company_id=42)
    world.index.rows[other.id] = other
    world.forget_recent()
    (outcome,) = world(event("blue", 1, 1))
    assert isinstance(outcome, Dead)
    assert outcome.reason is Reason.ID_COLLISION
    assert world.index.rows == {other.id: other}


def test_two_pictures_of_one_message_with_one_key_are_not_mixed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chance is one in 2^63 for a pair, and still the first does not vanish: it is a dead letter."""
    monkeypatch.setattr("worker.services.ingest.row_id", lambda company_id, meta_id: 5)  # noqa: ARG005
    world = World()
    first, second = world(event("red", 1, 1), event("blue", 2, 2))
    assert isinstance(first, Dead)
    assert first.reason is Reason.ID_COLLISION
    assert second == Indexed(valid("blue", 2, 2))


@pytest.mark.parametrize(("since", "left"), [(-120, 0), (120, 1)], ids=["young", "old"])
def test_an_object_that_is_gone_takes_only_a_young_row_along(since: float, left: int) -> None:
    """A row from before its event was enqueued stays: a bucket that was named wrong does not empty the index."""
    world = World()
    world(event("red"))
    del world.objects.bodies["red"]
    (outcome,) = world(event("red"), attempt=4, since=time.time() + since)
    assert isinstance(outcome, Dead)
    assert outcome.reason is Reason.NOT_FOUND
    assert len(world.index.rows) == left


def test_an_object_that_is_gone_leaves_a_row_of_another_key() -> None:
    """The picture has moved, and its row names the new object."""
    world = World()
    world(event("red"))
    (outcome,) = world(event("gone"), attempt=4)
    assert isinstance(outcome, Dead)
    assert [row.object_key for row in world.index.rows.values()] == ["red"]


def test_a_row_that_cannot_be_withdrawn_has_its_event_tried_again() -> None:
    """A delete of the same picture is under way, say."""
    world = World()
    world(event("red"))
    del world.objects.bodies["red"]
    claim = world.claims.claim

    def lock_after(token: str, ids: Iterable[int]) -> Claimed:
        known = claim(token, ids)
        world.claims.locked |= set(ids)
        return known

    world.claims.claim = lock_after  # type: ignore[method-assign]
    (outcome,) = world(event("red"), attempt=4)
    assert isinstance(outcome, Retry)
    assert len(world.index.rows) == 1


@pytest.mark.parametrize(("seconds", "least", "most"), [(10, 10.5, 22), (500, 60, 120)])
def test_after_a_lost_claim_the_event_waits_as_long_as_it_took_but_no_longer_than_any(
    seconds: float, least: float, most: float
) -> None:
    """Whoever took the claim should have ended by then; a message that waits is held unacknowledged.

    Those that waited the longest time would all meet again, did chance not part them too.
    """

    def overtaken(body: bytes) -> bytes:
        world.passed += seconds
        world.claims.claim("another", [row_id(1, 1)])
        return create_vector(body)

    world = World(create=overtaken)
    first, second = (outcome for _ in range(2) for outcome in world(event("red")))
    assert isinstance(first, Retry)
    assert isinstance(second, Retry)
    assert least <= min(first.delay, second.delay) <= max(first.delay, second.delay) <= most
    assert first.delay != second.delay


def test_when_the_claims_cannot_be_confirmed_the_events_are_tried_again() -> None:
    """Nobody knows whether another attempt has begun."""
    world = World()

    def fail(*_: object) -> set[int]:
        raise Transient("Redis is away")

    world.claims.confirm = fail  # type: ignore[method-assign, assignment]
    assert [type(outcome) for outcome in world(event("red", 1), event("text", 2))] == [Retry, Dead]


@pytest.mark.parametrize("error", [Transient("away"), Misconfigured("wrong schema")])
def test_when_milvus_fails_every_event_is_retried(error: LookalikeError) -> None:
    """Nothing is read from OSS for rows that cannot be written."""
    world = World()
    world.index.error = error
    assert [type(outcome) for outcome in world(event("red", 1), event("blue", 2))] == [Retry, Retry]
    assert world.objects.read == []


def test_when_the_upsert_fails_only_its_events_are_retried() -> None:
    """A dead event stays dead, an unchanged one unchanged."""
    world = World()
    world(event("red", 1))
    lookup = world.index.lookup
    world.index.lookup = lambda keys, *, fresh=False: lookup(keys, fresh=fresh)  # type: ignore[method-assign]

    def fail(rows: object) -> None:
        raise Transient(f"away with {rows!r}")

    world.index.upsert = fail  # type: ignore[method-assign]
    outcomes = world(event("red", 1), event("text", 2), event("blue", 3))
    assert [type(outcome) for outcome in outcomes] == [Unchanged, Dead, Retry]


def test_a_worker_that_stops_hands_back_what_it_has_not_begun() -> None:
    """The event in hand is finished, the rest is for another worker at once, and the try does not count."""
    world = World()
    download = world.objects.get

    def stop_after(key: str, deadline: float, reserve: Callable[[int], None] | None = None) -> Download:
        world.stopping = True
        return download(key, deadline, reserve)

    world.objects.get = stop_after  # type: ignore[method-assign]
    assert world(event("red", 1), event("blue", 2)) == [
        Indexed(valid("red", 1)),
        Retry(valid("blue", 2), "the worker is stopping", 0, counts=False),
    ]
    assert {row.meta_id for row in world.index.rows.values()} == {1}


def test_the_events_of_a_message_are_worked_on_at_once() -> None:
    """Four downloads are under way together, or the barrier would break; then four decodes are."""
    barrier = threading.Barrier(4)

    def create(body: bytes) -> bytes:
        barrier.wait(10)
        return create_vector(body)

    world = World(create=create, at_once=4)
    download = world.objects.get

    def slow(key: str, deadline: float, reserve: Callable[[int], None] | None = None) -> Download:
        barrier.wait(10)
        return download(key, deadline, reserve)

    world.objects.get = slow  # type: ignore[method-assign]
    sent = [event("red" if n % 2 else "blue", n) for n in range(4)]
    assert world(*sent) == [Indexed(valid("red" if n % 2 else "blue", n)) for n in range(4)]
    assert world.index.upserts == [4]


def test_helpers_hand_back_what_has_not_begun() -> None:
    """Those in hand when the worker is told to stop are finished, all four of them."""
    world = World(at_once=4)
    download = world.objects.get
    barrier = threading.Barrier(4)

    def stop_after(key: str, deadline: float, reserve: Callable[[int], None] | None = None) -> Download:
        barrier.wait(10)
        world.stopping = True
        return download(key, deadline, reserve)

    world.objects.get = stop_after  # type: ignore[method-assign]
    outcomes = world(*(event("red", n) for n in range(20)))
    assert outcomes == [
        *(Indexed(valid("red", n)) for n in range(4)),
        *(Retry(valid("red", n), "the worker is stopping", 0, counts=False) for n in range(4, 20)),
    ]


def test_bodies_wait_for_room() -> None:
    """Of bodies that fill half of the room and more, no two are held at a time, from before the read to the hash."""
    held, most = 0, 0
    lock = threading.Lock()

    def create(body: bytes) -> bytes:
        nonlocal held
        vector = create_vector(body)
        with lock:
            held -= 1
        return vector

    world = World(create=create, at_once=4, room=max(len(RED), len(BLUE)))
    download = world.objects.get

    def counted(key: str, deadline: float, reserve: Callable[[int], None] | None = None) -> Download:
        nonlocal held, most
        body = download(key, deadline, reserve)
        with lock:
            held += 1
            most = max(most, held)
        return body

    world.objects.get = counted  # type: ignore[method-assign]
    outcomes = world(*(event("red" if n % 2 else "blue", n) for n in range(40)))
    assert all(isinstance(outcome, Indexed) for outcome in outcomes)
    assert (held, most) == (0, 1)


def test_a_body_that_finds_no_room_in_time_is_tried_again() -> None:
    """The deadline of an object is that of its room too."""
    world = World(at_once=1, room=10)
    with world.room.take(10):
        world.passed -= 59.99
        (outcome,) = world(event("red"))
    assert isinstance(outcome, Retry)
    assert "no room" in outcome.error
    world.passed = 0.0
    assert world(event("red")) == [Indexed(valid("red"))]


def test_a_row_that_is_refused_is_dead_and_its_siblings_are_indexed() -> None:
    """Milvus' reason is the dead letter's error, and what was not written is not remembered as written."""
    world = World()
    world.index.refused = {row_id(1, 2)}
    outcomes = world(*(event("red", n) for n in range(1, 4)))
    assert outcomes == [
        Indexed(valid("red", 1)),
        Dead(event("red", 2), Reason.REJECTED, "a row is refused"),
        Indexed(valid("red", 3)),
    ]
    assert world.index.rows.keys() == world.claims.rows.keys() == {row_id(1, 1), row_id(1, 3)}


def test_a_batch_out_of_time_hands_back_what_it_has_not_begun() -> None:
    """Nothing is begun after the budget, what was done is written, and the try does not count."""

    def slow(body: bytes) -> bytes:
        world.passed += 50
        return create_vector(body)

    world = World(create=slow)
    outcomes = world(*(event("red", n) for n in range(50)))
    done = [outcome for outcome in outcomes if isinstance(outcome, Indexed)]
    back = [outcome for outcome in outcomes if isinstance(outcome, Retry)]
    assert len(done) == 2  # at 0 s and at 50 s; the budget is 60 s
    assert len(done) + len(back) == 50
    assert all(not outcome.counts and outcome.delay == 0 for outcome in back)
    assert len(world.index.rows) == len(done)


EVENTS = st.lists(
    st.one_of(
        st.builds(event, st.sampled_from(["red", "blue", "text", "gone", "reset", ""]), st.integers(0, 5)),
        st.none(),
        st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    ),
    min_size=1,
    max_size=20,
)


@given(EVENTS, st.integers(1, 20))
def test_there_is_one_outcome_for_each_event_in_order(events: list[object], attempt: int) -> None:
    """Whatever the message, nothing is left without an outcome, and what says Indexed has its row."""
    world = World()
    world.objects.failing["reset"] = Transient("reset")
    outcomes = world(*events, attempt=attempt)
    assert len(outcomes) == len(events)
    for sent, outcome in zip(events, outcomes, strict=True):
        assert (outcome.event if isinstance(outcome, Dead) else outcome.event.model_dump()) == sent
        if isinstance(outcome, Indexed):
            assert row_id(1, outcome.event.meta_id) in world.index.rows


def test_after_a_death_nothing_is_taken_for_unchanged() -> None:
    """The objects are read again, for whatever row is there may be another soon; no fresh read is needed for that."""
    world = World()
    sent = [event("red", n) for n in range(5)]
    world(*sent)
    world.objects.read.clear()
    asked: list[bool] = []
    lookup = world.index.lookup

    def noted(keys: Mapping[int, int], *, fresh: bool = False) -> Mapping[int, Row]:
        asked.append(fresh and bool(keys))
        return lookup(keys, fresh=fresh)

    world.index.lookup = noted  # type: ignore[method-assign]
    assert world(*sent, attempt=2) == [Indexed(valid("red", n)) for n in range(5)]
    assert world.objects.read == ["red"] * 5
    assert not any(asked)


def test_a_conditional_event_indexes_what_is_indexed_still() -> None:
    """A profile that is new gets its hash, though the object has not changed."""
    world = World()
    world(event("red"))
    world.index.rows = {id_: replace(row, hashes=()) for id_, row in world.index.rows.items()}
    world.claims.rows = {}
    (outcome,) = world(event("red") | {"when": "indexed"})
    assert isinstance(outcome, Indexed)
    assert next(iter(world.index.rows.values())).vector == create_vector(RED)


@pytest.mark.parametrize("when", ["indexed", "absent"])
@pytest.mark.parametrize("attempt", [1, 2])
def test_a_conditional_event_keeps_what_replaced_its_object(when: str, attempt: int) -> None:
    """Whoever knows of a picture from hearsay does not take it back to an object of before."""
    world = World()
    world(event("blue"))
    (outcome,) = world(event("red") | {"when": when}, attempt=attempt)
    assert isinstance(outcome, Unchanged)
    assert next(iter(world.index.rows.values())).object_key == "blue"
    assert "red" not in world.objects.read


def test_a_conditional_event_does_not_bring_back_what_was_deleted() -> None:
    """Unless it is to index what is not indexed."""
    world = World()
    (outcome,) = world(event("red") | {"when": "indexed"})
    assert isinstance(outcome, Unchanged)
    assert world.index.rows == {}
    (outcome,) = world(event("red") | {"when": "absent"})
    assert isinstance(outcome, Indexed)
