"""Threads that join in the work of others."""

import threading
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

from worker.services.helpers import Helpers, helped_thread

SECONDS = 10
NAME: ContextVar[str] = ContextVar("name")


@pytest.fixture
def helpers() -> Iterator[Helpers]:
    """Four at work at once."""
    made = Helpers(4)
    yield made
    made.close()


def test_the_work_of_one_is_shared_by_all(helpers: Helpers) -> None:
    """Four items are worked on at once, or the barrier would break; the results are in the items' order."""
    barrier = threading.Barrier(4)

    def work(item: int) -> int:
        barrier.wait(SECONDS)
        return item * item

    assert helpers.map(work, range(8)) == [n * n for n in range(8)]
    assert helpers.map(work, []) == []


def test_no_more_are_at_work_than_there_are_places(helpers: Helpers) -> None:
    """Where all places are taken nobody helps, and who has work goes on alone; later there are helpers again."""
    here = threading.get_ident()
    barrier = threading.Barrier(4)

    def busy(_: int) -> bool:
        barrier.wait(SECONDS)  # the three helpers are at work
        alone = helpers.map(lambda _: threading.get_ident(), range(20))
        barrier.wait(SECONDS)  # none has ended before all have seen that
        return set(alone) == {threading.get_ident()}

    for _ in range(3):
        assert helpers.map(busy, range(4)) == [True] * 4
    assert threading.get_ident() == here


def test_a_helper_has_the_variables_of_whom_it_helps(helpers: Helpers) -> None:
    """Its log lines name the same task, and what it sets is its own."""
    barrier = threading.Barrier(4)
    NAME.set("batch")

    def work(item: int) -> tuple[str, int]:
        barrier.wait(SECONDS)
        name = NAME.get()
        NAME.set(f"item {item}")
        return name, helped_thread()

    assert helpers.map(work, range(4)) == [("batch", threading.get_ident())] * 4
    assert helped_thread() == threading.get_ident()


@pytest.mark.parametrize("fails", [0, 1, 2, 3])
def test_an_error_is_raised_when_all_that_was_begun_has_ended(helpers: Helpers, fails: int) -> None:
    """Nothing more is begun, whichever thread it was, and the places are free again."""
    barrier = threading.Barrier(4)
    begun: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        barrier.wait(SECONDS)
        if item == fails:
            raise SystemExit
        failed.wait(SECONDS)

    failed = threading.Event()

    def end(item: int) -> None:
        try:
            work(item)
        finally:
            failed.set()

    with pytest.raises(SystemExit):
        helpers.map(end, range(4))
    assert sorted(begun) == [0, 1, 2, 3]
    assert helpers.map(lambda item: item, range(4)) == [0, 1, 2, 3]
