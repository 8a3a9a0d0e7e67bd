"""Filling a profile from a collection, a page at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from contract import Overloaded, row_id
from worker.core.errors import Busy
from worker.ports import Picture
from worker.services import reindexing
from worker.services.reindexing import Reindex
from worker.testing import MemoryIndex, MemoryJobs, make_row


@dataclass
class Source:
    """Pictures in the order of their ids."""

    found: list[Picture]

    def total(self) -> int:
        """Count them."""
        return len(self.found)

    def pictures(self, after: int, limit: int) -> list[Picture]:
        """Read a page."""
        return [picture for picture in self.found if picture.id > after][:limit]


@dataclass
class Accepted:
    """What was enqueued, up to a limit."""

    events: list[dict[str, Any]] = field(default_factory=list)
    most: int = 10**9

    def accept(self, events: Sequence[Any]) -> None:
        """Take events."""
        if len(self.events) + len(events) > self.most:
            raise Overloaded("full")
        self.events += events


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reindexing, "PAGE", 10)


def pictures(number: int) -> list[Picture]:
    """So many pictures of company 1."""
    return sorted(Picture(row_id(1, n), n, 1, f"{n}.jpg") for n in range(number))


def job(
    index: MemoryIndex,
    accepted: Accepted,
    jobs: MemoryJobs,
    number: int = 25,
    when: Literal["indexed", "absent"] = "indexed",
) -> Reindex:
    """A job of so many pictures."""
    return Reindex(index, Source(pictures(number)), accepted, jobs, name="j", when=when)


def run(one: Reindex) -> list[dict[str, Any]]:
    """Call until it is done."""
    results: list[dict[str, Any]] = []
    while not (results and results[-1]["done"]):
        results.append(dict(one(profile="phash", source="images_ahash")))
    return results


def test_what_is_missing_is_enqueued() -> None:
    """A picture that has a row is left out, whatever its object: that row was made of a later event."""
    index = MemoryIndex()
    for n, key in ((3, "3.jpg"), (4, "other.jpg")):
        index.upsert([make_row(n, object_key=key)])
    accepted = Accepted()
    results = run(job(index, accepted, MemoryJobs()))
    assert [(one["read"], one["done"]) for one in results] == [(10, False), (20, False), (25, True)]
    assert results[0]["total"] == 25
    assert results[-1].items() >= {"present": 2, "enqueued": 23, "total": 25, "hash": "phash"}.items()
    assert {event["meta_id"] for event in accepted.events} == set(range(25)) - {3, 4}
    assert accepted.events[0].keys() == {"object_key", "meta_id", "company_id", "when"}


@pytest.mark.parametrize("when", ["indexed", "absent"])
def test_events_are_on_condition(when: Literal["indexed", "absent"]) -> None:
    """What is replaced or deleted meanwhile stays so."""
    accepted = Accepted()
    run(job(MemoryIndex(), accepted, MemoryJobs(), when=when))
    assert {event["when"] for event in accepted.events} == {when}


def test_another_worker_goes_on_where_the_job_was() -> None:
    """Each page is enqueued once, though every call finds another worker."""
    accepted, jobs = Accepted(), MemoryJobs()
    while not job(MemoryIndex(), accepted, jobs)(profile="phash", source="images_ahash")["done"]:
        pass
    assert len(accepted.events) == 25
    assert jobs.kept == {}


def test_a_page_that_was_not_taken_whole_comes_again() -> None:
    """No picture is skipped; those of the page may be enqueued twice."""
    accepted, jobs = Accepted(most=15), MemoryJobs()
    one = job(MemoryIndex(), accepted, jobs)
    one(profile="phash", source="images_ahash")
    with pytest.raises(Overloaded):
        one(profile="phash", source="images_ahash")
    accepted.most = 10**9
    results = run(one)
    assert results[-1]["enqueued"] == 25
    assert {event["meta_id"] for event in accepted.events} == set(range(25))


def test_one_worker_at_a_time() -> None:
    """A second one reads nothing."""
    accepted = Accepted()
    with pytest.raises(Busy):
        job(MemoryIndex(), accepted, MemoryJobs(busy=True))(profile="phash", source="images_ahash")
    assert accepted.events == []


def test_nothing_to_read_is_done() -> None:
    """An empty collection fills nothing."""
    (result,) = run(job(MemoryIndex(), Accepted(), MemoryJobs(), number=0))
    assert result.items() >= {"read": 0, "total": 0, "enqueued": 0, "done": True}.items()
