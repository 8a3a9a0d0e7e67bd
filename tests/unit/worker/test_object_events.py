"""Events without ids, and events of objects that were removed."""

from typing import Any

import pytest

from contract import Reason, row_id
from tests.unit.worker.test_ingest import BLUE, RED, World, event, valid
from worker.core.errors import Misconfigured, NotReadable, Transient
from worker.core.outcomes import Dead, Indexed, Removed, Retry, Unchanged
from worker.testing import MemoryObjects

KEY = "uploads/7/42.jpg"
ID = row_id(7, 42)


def told(key: str = KEY, **fields: Any) -> dict[str, Any]:
    """An event as OSS tells it."""
    return {"object_key": key, "source": "oss", **fields}


def removed(key: str = "red", meta_id: int = 1) -> dict[str, Any]:
    """An event of an object that is said to be gone."""
    return {**event(key, meta_id), "when": "removed"}


def test_the_ids_are_found_in_the_key() -> None:
    """Without a question to OSS."""
    world = World()
    world.objects.bodies[KEY] = RED
    assert world(told()) == [Indexed(valid(KEY, 42, 7))]
    assert world.index.rows[ID].object_key == KEY
    assert world.objects.asked == []


def test_the_ids_are_found_in_the_metadata() -> None:
    """Which OSS is asked for."""
    world = World()
    world.objects.metadata["red"] = {"x-oss-meta-company-id": "7", "x-oss-meta-meta-id": "42"}
    assert world(told("red")) == [Indexed(valid("red", 42, 7))]
    assert world.objects.asked == ["red"]


def test_what_cannot_be_mapped_is_dead_and_its_siblings_are_indexed() -> None:
    """The dead letter holds the event as it was sent, so that it can be replayed by another template."""
    world = World()
    world.objects.bodies[KEY] = BLUE
    outcomes = world(told("blue"), told(), event("red", 5))
    assert outcomes[1:] == [Indexed(valid(KEY, 42, 7)), Indexed(valid("red", 5))]
    assert isinstance(outcomes[0], Dead)
    assert (outcomes[0].event, outcomes[0].reason) == (told("blue"), Reason.UNMAPPED)


def test_metadata_that_cannot_be_asked_for_is_asked_for_again() -> None:
    """The event travels on as it is."""
    world = World()
    world.objects.failing["reset"] = Transient("reset by peer")
    outcomes = world(told("reset"), told("gone"))
    assert [type(outcome) for outcome in outcomes] == [Retry, Retry]
    assert [outcome.event.model_dump() for outcome in outcomes if isinstance(outcome, Retry)] == [
        told("reset"),
        told("gone"),
    ]
    (dead,) = world(told("gone"), attempt=4)
    assert isinstance(dead, Dead)
    assert dead.reason is Reason.NOT_FOUND


def test_the_row_of_an_object_that_is_gone_is_removed() -> None:
    """And a repeat of the event changes nothing."""
    world = World()
    world(event("red", 1), event("blue", 2))
    del world.objects.bodies["red"]
    assert world(removed()) == [Removed(valid("red").model_copy(update={"when": "removed"}))]
    assert {row.object_key for row in world.index.rows.values()} == {"blue"}
    world(removed())
    assert len(world.index.rows) == 1


def test_the_row_of_an_object_that_is_there_again_stays() -> None:
    """Events come in any order: it was uploaded again since."""
    world = World()
    world(event("red"))
    world(removed())
    assert len(world.index.rows) == 1


def test_the_row_of_another_object_stays() -> None:
    """The picture was given another object, and then the old one was removed."""
    world = World()
    world(event("red"))
    world(event("blue"))
    del world.objects.bodies["red"]
    world(removed())
    assert [row.object_key for row in world.index.rows.values()] == ["blue"]


def test_a_removal_does_not_hide_an_upload_of_the_same_message() -> None:
    """Of the same picture, by another object: whatever their order."""
    world = World()
    world(event("red"))
    del world.objects.bodies["red"]
    for message in ([event("blue"), removed()], [removed(), event("blue")]):
        assert {type(outcome) for outcome in world(*message)} <= {Indexed, Removed, Unchanged}
        assert [row.object_key for row in world.index.rows.values()] == ["blue"]


@pytest.mark.parametrize("error", [Transient("reset by peer"), Misconfigured("no access")])
def test_an_object_that_cannot_be_looked_at_is_looked_at_again(error: Exception) -> None:
    """Its row stays meanwhile, and its siblings' rows are removed."""
    world = World()
    world(event("red", 1), event("blue", 2))
    world.objects.failing["red"] = error
    del world.objects.bodies["blue"]
    first, second = world(removed("red", 1), removed("blue", 2))
    assert (type(first), type(second)) == (Retry, Removed)
    assert [row.object_key for row in world.index.rows.values()] == ["red"]


def test_an_object_that_is_refused_is_not_gone() -> None:
    """Its event is dead, its row stays."""
    world = World()
    world(event("red"))
    world.objects.failing["red"] = NotReadable("archived")
    (dead,) = world(removed())
    assert isinstance(dead, Dead)
    assert len(world.index.rows) == 1


def test_a_removal_waits_for_another_delete() -> None:
    """And is tried again."""
    world = World()
    world(event("red"))
    del world.objects.bodies["red"]
    with world.claims.lock([row_id(1, 1)]):
        (outcome,) = world(removed())
    assert isinstance(outcome, Retry)
    assert len(world.index.rows) == 1


def test_the_object_is_looked_at_while_nobody_may_write_its_row() -> None:
    """Otherwise an upload between the look and the delete would lose its row."""
    world = World()
    world(event("red"))
    locked: list[bool] = []

    class Watched(MemoryObjects):
        def head(self, key: str) -> Any:
            locked.append(row_id(1, 1) in world.claims.locked)
            return super().head(key)

    world.ingest._objects = Watched(world.objects.bodies)  # noqa: SLF001 - to look in between
    world(removed())
    assert locked == [True]


def test_the_metadata_of_an_object_that_is_gone_cannot_be_asked_for() -> None:
    """Trying again would not help."""
    world = World()
    (dead,) = world(told("gone", when="removed"))
    assert isinstance(dead, Dead)
    assert (dead.reason, dead.error) == (Reason.UNMAPPED, "its ids were in the metadata of an object that is gone")
