"""Enqueuing what is in a bucket: every object once and in order, and none skipped wherever it is interrupted."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import InvalidMessage, Overloaded
from contract.backfill import Backfilling, BackfillResult, decode_backfill
from worker.core.errors import Busy, Misconfigured
from worker.core.mapping import Mapper
from worker.ports import ListedObject
from worker.services import backfilling
from worker.services.backfilling import Backfill
from worker.testing import MAPPER, MemoryJobs


@dataclass
class Bucket:
    """A listing."""

    found: list[ListedObject]
    error: Exception | None = None
    asked: list[tuple[str, int]] = field(default_factory=list)

    def objects(self, prefix: str, after: str, limit: int) -> list[ListedObject]:
        """List a page."""
        if self.error is not None:
            raise self.error
        self.asked.append((after, limit))
        found = [one for one in self.found if one.key.startswith(prefix) and one.key.encode() > after.encode()]
        return sorted(found, key=lambda one: one.key.encode())[:limit]


@dataclass
class Accepted:
    """What was enqueued. It fails, or dies before anything can be noted, after a number of batches."""

    events: list[dict[str, Any]] = field(default_factory=list)
    fails_after: int = 10**9
    error: BaseException = field(default_factory=lambda: Overloaded("full"))

    def accept(self, events: Sequence[Any]) -> None:
        """Take events."""
        if self.fails_after == 0:
            raise self.error
        self.fails_after -= 1
        self.events += events

    @property
    def keys(self) -> list[str]:
        """Of the objects."""
        return [event["object_key"] for event in self.events]


class Clock:
    """Each look at it takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time."""
        self.now += 1
        return self.now


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfilling, "PAGE", 250)


def objects(number: int) -> list[ListedObject]:
    """So many of company 7."""
    return [ListedObject(f"uploads/7/{n:05}.jpg", n, 10) for n in range(number)]


def job(
    bucket: Bucket, accepted: Accepted, jobs: MemoryJobs, mapper: Mapper = MAPPER, seconds: float = 2.5
) -> Backfill:
    """A job, of which a call has time for two pages."""
    return Backfill(bucket, accepted, jobs, mapper, seconds=seconds, monotonic=Clock())


def run(one: Backfill, **wanted: Any) -> list[BackfillResult]:
    """Call until it is done."""
    results: list[BackfillResult] = []
    while not (results and results[-1]["done"]):
        results.append(one(Backfilling(**wanted)))
    return results


def test_every_object_is_enqueued_once_in_the_order_of_keys() -> None:
    """In messages of a hundred, over several calls, with the ids of its key."""
    accepted, jobs = Accepted(), MemoryJobs()
    results = run(job(Bucket(objects(1100)), accepted, jobs))
    assert accepted.events == [
        {"object_key": f"uploads/7/{n:05}.jpg", "meta_id": n, "company_id": 7} for n in range(1100)
    ]
    assert [result["read"] for result in results] == [500, 1000, 1100]
    assert results[-1] == {
        "prefix": "",
        "read": 1100,
        "enqueued": 1100,
        "unmapped": 0,
        "skipped": 0,
        "bytes": 11_000,
        "last_key": "uploads/7/01099.jpg",
        "done": True,
    }
    assert jobs.kept == {}


def test_an_empty_bucket_is_done_at_once() -> None:
    """Whatever the prefix."""
    (result,) = run(job(Bucket(objects(5)), Accepted(), MemoryJobs()), prefix="other/")
    assert (result["read"], result["last_key"], result["done"]) == (0, "", True)


def test_what_has_ended_begins_anew() -> None:
    """To run it again is to look again."""
    accepted, jobs = Accepted(), MemoryJobs()
    for _ in range(2):
        run(job(Bucket(objects(3)), accepted, jobs))
    assert len(accepted.events) == 6


@given(st.integers(0, 30), st.integers(0, 3), st.booleans())
def test_nothing_is_skipped_wherever_it_dies(batches: int, died_before: int, overloaded: bool) -> None:
    """Killed between an acceptance and the checkpoint, or refused in the middle of a page."""
    bucket, jobs, accepted = Bucket(objects(1234)), MemoryJobs(), Accepted()
    for n in range(died_before + 1):
        accepted.fails_after = batches + n
        accepted.error = Overloaded("full") if overloaded else SystemExit()
        kept = dict(jobs.kept)
        try:
            run(job(bucket, accepted, jobs))
        except Overloaded:
            pass
        except SystemExit:
            jobs.kept = kept  # whoever is killed saves nothing
    accepted.fails_after = 10**9
    run(job(bucket, accepted, jobs))
    assert set(accepted.keys) == {one.key for one in bucket.found}


def test_what_was_accepted_before_a_refusal_is_not_enqueued_again() -> None:
    """The place is kept to the message."""
    bucket, jobs, accepted = Bucket(objects(400)), MemoryJobs(), Accepted(fails_after=3)
    with pytest.raises(Overloaded):
        run(job(bucket, accepted, jobs))
    accepted.fails_after = 10**9
    run(job(bucket, accepted, jobs))
    assert len(accepted.events) == 400


def test_a_listing_that_fails_keeps_its_place() -> None:
    """And says what failed."""
    bucket, jobs, accepted = Bucket(objects(1100)), MemoryJobs(), Accepted()
    one = job(bucket, accepted, jobs)
    one(Backfilling())
    bucket.error = Misconfigured("access denied")
    with pytest.raises(Misconfigured):
        one(Backfilling())
    bucket.error = None
    run(one)
    assert len(accepted.events) == 1100


def test_what_is_nobodys_becomes_a_dead_letter_by_the_workers() -> None:
    """It travels without ids; or it is only counted, where that is wanted."""
    found = [ListedObject("a.jpg", 0, 1), *objects(2), ListedObject("z.jpg", 0, 1)]
    mapper = Mapper(("callback", "key"), MAPPER.template, "pictures")
    accepted = Accepted()
    (result,) = run(job(Bucket(found), accepted, MemoryJobs(), mapper))
    assert (result["enqueued"], result["unmapped"]) == (4, 2)
    assert accepted.events[0] == {"object_key": "a.jpg", "source": "oss"}
    accepted = Accepted()
    (result,) = run(job(Bucket(found), accepted, MemoryJobs(), mapper), skip_unmapped=True)
    assert (result["enqueued"], result["unmapped"], len(accepted.events)) == (2, 2, 2)


def test_what_the_metadata_may_tell_is_not_nobodys() -> None:
    """Workers ask for it."""
    accepted = Accepted()
    (result,) = run(job(Bucket([ListedObject("a.jpg", 0, 1)]), accepted, MemoryJobs()), skip_unmapped=True)
    assert (result["enqueued"], result["unmapped"]) == (1, 0)
    assert accepted.events == [{"object_key": "a.jpg", "source": "oss"}]


def test_a_template_of_its_own() -> None:
    """In place of the workers', also for what they look at."""
    accepted = Accepted()
    found = [ListedObject("7/1", 0, 1), ListedObject("x", 0, 1)]
    run(job(Bucket(found), accepted, MemoryJobs()), key_template="{company_id}/{meta_id}")
    assert accepted.events == [
        {"object_key": "7/1", "meta_id": 1, "company_id": 7},
        {"object_key": "x", "source": "oss", "key_template": "{company_id}/{meta_id}"},
    ]


def test_folders_and_what_is_too_old_are_left_out() -> None:
    """And counted."""
    found = [*objects(10), ListedObject("uploads/7/", 9, 0)]
    accepted = Accepted()
    (result,) = run(job(Bucket(found), accepted, MemoryJobs()), since=7)
    assert (result["read"], result["skipped"], result["enqueued"]) == (11, 8, 3)
    assert accepted.keys == [f"uploads/7/{n:05}.jpg" for n in (7, 8, 9)]


@pytest.mark.parametrize("limit", [1, 100, 249, 250, 251, 600, 1100, 2000])
def test_a_limit(limit: int) -> None:
    """No more events than so many, over all calls."""
    accepted = Accepted()
    results = run(job(Bucket(objects(1100)), accepted, MemoryJobs()), limit=limit)
    assert len(accepted.events) == results[-1]["enqueued"] == min(limit, 1100)


def test_no_more_than_there_is_room_for_in_one_call() -> None:
    """So many events, and the next call goes on behind them."""
    accepted = Accepted()
    results = run(job(Bucket(objects(700)), accepted, MemoryJobs()), most=300)
    assert [result["enqueued"] for result in results] == [300, 600, 700]
    assert len(accepted.events) == 700


def test_a_dry_run_only_counts() -> None:
    """Under a name of its own, so that it moves nobody's place."""
    accepted, jobs = Accepted(), MemoryJobs()
    bucket = Bucket(objects(1100))
    job(bucket, accepted, jobs)(Backfilling())
    assert run(job(bucket, accepted, jobs), dry_run=True)[-1]["enqueued"] == 1100
    assert len(accepted.events) == 500
    run(job(bucket, accepted, jobs))
    assert len(accepted.events) == 1100


@pytest.mark.parametrize(
    ("first", "second", "goes_on"), [(None, None, True), (None, 5, True), (3, 5, True), (5, 3, False), (5, None, False)]
)
def test_it_goes_on_where_nothing_is_missed_by_that(first: int | None, second: int | None, goes_on: bool) -> None:
    """`--since 7d` is another moment when the command is run again."""
    accepted, jobs, bucket = Accepted(), MemoryJobs(), Bucket(objects(1100))
    job(bucket, accepted, jobs)(Backfilling(since=first))
    result = job(bucket, accepted, jobs)(Backfilling(since=second))
    assert result["read"] == (1000 if goes_on else 500)


def test_another_job_has_its_own_place() -> None:
    """By prefix, template and bucket; restarted, it begins anew."""
    accepted, jobs, bucket = Accepted(), MemoryJobs(), Bucket(objects(1100))
    job(bucket, accepted, jobs)(Backfilling())
    for wanted in (
        {"prefix": "uploads/"},
        {"key_template": "{__}/{company_id}/{meta_id}.jpg"},
        {"skip_unmapped": True},
        {"restart": True},
    ):
        assert job(bucket, accepted, jobs)(Backfilling(**wanted))["read"] == 500
    other = Mapper(MAPPER.sources, MAPPER.template, "others")
    assert job(bucket, accepted, jobs, other)(Backfilling())["read"] == 500
    assert job(bucket, accepted, jobs)(Backfilling())["read"] == 1000


def test_one_at_a_time() -> None:
    """Somebody else has it."""
    with pytest.raises(Busy):
        job(Bucket([]), Accepted(), MemoryJobs(busy=True))(Backfilling())


@pytest.mark.parametrize(
    "wrong",
    [
        {"prefix": "x" * 1024},
        {"prefix": None},
        {"limit": 0},
        {"most": True},
        {"since": 1.5},
        {"key_template": "{x}"},
        {"version": 2},
        {"other": 1},
    ],
)
def test_a_message_that_does_not_fit(wrong: dict[str, Any]) -> None:
    """It is refused by name."""
    with pytest.raises(InvalidMessage, match=next(iter(wrong))):
        decode_backfill(wrong)
