"""What is refused for all blows the fuse; what is refused for itself alone stops nobody."""

from collections.abc import Callable
from typing import Any

import pytest

from contract import row_id
from worker.core.errors import FuseBlown, Misconfigured, NotReadable, ObjectMissing, Transient
from worker.core.outcomes import Indexed, Outcome, Retry, RetryPolicy
from worker.services.fuse import Fuse, FuseRules
from worker.services.guards import GuardedIndex, GuardedObjects
from worker.services.helpers import Helpers
from worker.services.ingest import Budget, Ingest
from worker.services.removal import Removal
from worker.services.room import Room
from worker.services.writer import GroupWriter
from worker.testing import MAPPER, MemoryClaims, MemoryIndex, MemoryObjects, fingerprinting, make_row

REFUSED = Misconfigured("OSS says 403 AccessDenied")
ROW = make_row(1)


class Idle:
    """A worker that consumes nothing anyway."""

    def stop(self) -> None:
        """Do nothing."""

    def resume(self) -> None:
        """Do nothing."""


class World:
    """A guarded store and index, in memory."""

    def __init__(self) -> None:
        self.fuse = Fuse(Idle(), probe=self.probe, report=lambda _: None, rules=FuseRules(), now=lambda: 0.0)
        self.store = MemoryObjects({key: key.encode() for key in "abcdef"})
        self.objects = GuardedObjects(self.store, self.fuse)
        self.memory = MemoryIndex()
        self.index = GuardedIndex(self.memory, self.fuse)

    def probe(self) -> None:
        """Ask the store."""
        self.objects.probe()

    def is_whole(self) -> bool:
        """Whether the fuse lets work through."""
        try:
            self.fuse.require_whole()
        except FuseBlown:
            return False
        return True

    def refuse(self, *keys: str) -> None:
        """Refuse objects from now on."""
        self.store.failing |= dict.fromkeys(keys, REFUSED)

    def ingest(self, *keys: str) -> list[Outcome]:
        """Ingest events of a message."""
        claims = MemoryClaims()
        ingest = Ingest(
            self.objects,
            self.index,
            claims,
            GroupWriter(self.index, max_rows=100),
            fingerprinting(lambda _: bytes(8)),
            profiles=["ahash"],
            mapper=MAPPER,
            removal=Removal(self.index, claims, delete_seconds=0),
            helpers=Helpers(1),
            room=Room(1000),
            policy=RetryPolicy(),
            budget=Budget(begin=60, each=60, write=60),
            stopping=lambda: False,
        )
        return ingest([{"object_key": key, "meta_id": n, "company_id": 1} for n, key in enumerate(keys)], 1, 0)


def test_the_first_refusal_blows() -> None:
    """While no object was read, there is nothing that speaks for the bucket."""
    world = World()
    world.refuse("a")
    with pytest.raises(Misconfigured):
        world.objects.get("a", 0)
    assert not world.is_whole()


@pytest.mark.parametrize("ask", [lambda store, key: store.get(key, 0), lambda store, key: store.crc(key)])
def test_an_object_of_its_own_is_refused_alone(ask: Callable[[GuardedObjects, str], object]) -> None:
    """Where another object can still be read, whoever asked is told, and all else goes on."""
    world = World()
    world.objects.get("a", 0)
    world.refuse("b")
    with pytest.raises(Misconfigured):
        ask(world.objects, "b")
    assert world.is_whole()
    assert world.objects.get("c", 0).body == b"c"


@pytest.mark.parametrize("state", [ObjectMissing("gone"), NotReadable("archived"), Transient("reset")])
def test_only_a_refusal_speaks_against_the_bucket(state: Exception) -> None:
    """An object that was deleted, archived or cannot be reached was not refused."""
    world = World()
    world.objects.get("a", 0)
    world.store.failing["a"] = state
    world.refuse("b")
    with pytest.raises(Misconfigured):
        world.objects.get("b", 0)
    assert world.is_whole()


def test_a_bucket_that_refuses_all_blows() -> None:
    """What could be read before is refused too."""
    world = World()
    for key in "abcd":
        world.objects.get(key, 0)
    world.refuse(*"abcdef")
    with pytest.raises(Misconfigured):
        world.objects.get("e", 0)
    assert not world.is_whole()


def test_one_that_is_refused_does_not_speak_for_itself() -> None:
    """An object that was read before and is refused now: nothing else is known, so it blows."""
    world = World()
    world.objects.get("a", 0)
    world.refuse("a")
    with pytest.raises(Misconfigured):
        world.objects.get("a", 0)
    assert not world.is_whole()


def test_the_probe_passes_when_any_known_object_can_be_read() -> None:
    """One that was read before, or the one that was refused; without any there is nothing to ask."""
    world = World()
    world.objects.probe()
    world.refuse("a")
    with pytest.raises(Misconfigured):
        world.objects.get("a", 0)
    with pytest.raises(Misconfigured):
        world.objects.probe()
    world.store.failing["a"] = Transient("reset")
    with pytest.raises(Transient):
        world.objects.probe()
    for fine in (ObjectMissing("gone"), NotReadable("archived")):
        world.store.failing["a"] = fine
        world.objects.probe()
    del world.store.failing["a"]
    world.objects.probe()


def test_a_blown_fuse_asks_nobody() -> None:
    """Neither the store nor the index hears of work while it is blown, but rows that are made are written."""
    world = World()
    world.fuse.blow(REFUSED)
    calls: list[Callable[[], Any]] = [
        lambda: world.objects.get("a", 0),
        lambda: world.objects.crc("a"),
        lambda: world.index.lookup({1: 1}),
    ]
    for call in calls:
        with pytest.raises(FuseBlown):
            call()
    assert world.store.read == []
    world.index.upsert([ROW])
    assert world.memory.rows == {ROW.id: ROW}


def test_whatever_milvus_refuses_blows() -> None:
    """A schema, a password or a right is the same for all events; a failure that may pass is not."""
    calls: list[Callable[[World], Any]] = [
        lambda world: world.index.lookup({1: 1}),
        lambda world: world.index.upsert([ROW]),
        lambda world: world.index.delete({1: 1}),
    ]
    for call in calls:
        world = World()
        world.memory.error = Transient("away")
        with pytest.raises(Transient):
            call(world)
        assert world.is_whole()
        world.memory.error = Misconfigured("Milvus refuses")
        with pytest.raises(Misconfigured):
            call(world)
        assert not world.is_whole()


def test_a_batch_asks_once_and_is_handed_back() -> None:
    """The first refusal ends the reading: every event waits as long as any does, and no try counts."""
    world = World()
    world.refuse(*"abcdef")
    outcomes = world.ingest(*"abcdef")
    assert [(outcome.delay, outcome.counts) for outcome in outcomes if isinstance(outcome, Retry)] == [(120, False)] * 6
    assert world.store.read == ["a"]
    assert [outcome.delay for outcome in world.ingest("b") if isinstance(outcome, Retry)] == [120]
    assert world.store.read == ["a"]


def test_one_refused_object_of_a_batch_waits_alone() -> None:
    """Its siblings are indexed."""
    world = World()
    world.refuse("b")
    first, second, third = world.ingest("a", "b", "c")
    assert isinstance(first, Indexed)
    assert isinstance(second, Retry)
    assert not second.counts
    assert isinstance(third, Indexed)
    assert world.memory.rows.keys() == {row_id(1, 0), row_id(1, 2)}
