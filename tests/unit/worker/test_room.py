"""A bounded amount of memory, in the order in which threads ask."""

import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from worker.core.errors import Transient
from worker.services.room import Room

SECONDS = 10


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Threads that wait for room."""
    with ThreadPoolExecutor() as threads:
        yield threads


def past() -> float:
    """A deadline that is over."""
    return time.monotonic() - 1


def soon() -> float:
    """A deadline."""
    return time.monotonic() + SECONDS


def has_room(room: Room, amount: int) -> bool:
    """Whether so much is free now."""
    with room.reservation(past()) as reserve:
        try:
            reserve(amount)
        except Transient:
            return False
        return True


def take_and_fail(room: Room, amount: int) -> None:
    """Use an amount, and fail over it."""
    with room.take(amount):
        assert has_room(room, 10 - amount)
        assert not has_room(room, 11 - amount)
        raise KeyError


def reserve_and_fail(room: Room, amounts: Iterable[int]) -> None:
    """Reserve an amount or none, and fail."""
    with room.reservation(soon()) as reserve:
        for amount in amounts:
            reserve(amount)
        raise KeyError


def test_what_is_in_use_is_not_free_until_it_is_given_back() -> None:
    """Also where the work in it fails."""
    room = Room(10)
    with pytest.raises(KeyError):
        take_and_fail(room, 7)
    assert has_room(room, 10)


@pytest.mark.parametrize("amounts", [[], [7], [50]])
def test_what_was_reserved_is_given_back_where_the_work_fails(amounts: list[int]) -> None:
    """And nothing is where none was reserved."""
    room = Room(10)
    with pytest.raises(KeyError):
        reserve_and_fail(room, amounts)
    assert has_room(room, 10)
    with room.take(10):
        assert not has_room(room, 1)


def test_more_than_all_is_taken_alone() -> None:
    """It takes the whole room, waits until that is free, and leaves none."""
    room = Room(10)
    with room.take(1):
        assert not has_room(room, 50)
    with room.take(50):
        assert not has_room(room, 1)
    assert has_room(room, 10)


def test_a_large_amount_is_not_passed_by_small_ones(threads: ThreadPoolExecutor) -> None:
    """Who comes later waits, though there would be room for it; and goes on when who stood before it gives up."""
    room, asked, give_up = Room(10), threading.Event(), threading.Event()

    def large() -> None:
        with room.reservation(soon()) as reserve:
            asked.set()
            reserve(9)
            assert give_up.wait(SECONDS)

    with ExitStack() as held:
        held.enter_context(room.take(5))
        waiting = threads.submit(large)
        assert asked.wait(SECONDS)
        while has_room(room, 1):  # until the large one stands in the queue
            assert not waiting.done()
        assert not has_room(room, 1)
    give_up.set()
    waiting.result(SECONDS)
    assert has_room(room, 10)


def test_who_gives_up_lets_those_behind_go_on(threads: ThreadPoolExecutor) -> None:
    """A deadline that passes is an error, and keeps nobody else."""
    room = Room(10)

    def large() -> None:
        with room.reservation(time.monotonic() + 0.1) as reserve:
            reserve(6)

    with room.take(5):
        waiting = threads.submit(large)
        while has_room(room, 2) and not waiting.done():  # until the large one stands in the queue
            pass
        with room.take(2), pytest.raises(Transient, match="no room for its 6 bytes"):
            waiting.result(SECONDS)


@hypothesis(max_examples=20)
@given(st.lists(st.integers(0, 15), min_size=1, max_size=40), st.integers(1, 12))
def test_there_is_never_more_in_use_than_there_is_room_for(amounts: list[int], size: int) -> None:
    """Whatever the threads ask for, all have their turn, and those inside fit or are alone."""
    room, inside, lock = Room(size), list[int](), threading.Lock()

    def use(amount: int) -> bool:
        with room.take(amount):
            with lock:
                inside.append(amount)
                fits = sum(inside) <= size or sum(amount > 0 for amount in inside) == 1
            with lock:
                inside.remove(amount)
        return fits

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(use, amounts))
    assert has_room(room, size)
