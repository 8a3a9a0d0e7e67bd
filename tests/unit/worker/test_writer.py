"""Group commit: few upserts, and every thread hears of its own rows."""

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from math import ceil, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import row_id
from worker.core.errors import Misconfigured, Permanent, Rejected, RowsRejected, Transient
from worker.ports import Row
from worker.services.writer import GroupWriter
from worker.testing import MemoryIndex, make_row


def row(meta_id: int, *, company_id: int = 1, key: str = "a.jpg", id_: int | None = None) -> Row:
    """A row of some picture."""
    made = make_row(meta_id, company_id, object_key=key)
    return replace(made, id=id_ or made.id)


class GatedIndex(MemoryIndex):
    """An index whose upserts wait until the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.entered = threading.Event()

    def upsert(self, rows: Sequence[Row]) -> None:
        """Wait, then write."""
        self.entered.set()
        assert self.gate.wait(10)
        super().upsert(rows)


def soon() -> float:
    """A deadline that no test reaches."""
    return time.monotonic() + 30


def queue_behind(writer: GroupWriter, index: GatedIndex, writes: Sequence[Sequence[Row]]) -> list[Exception | None]:
    """Let the first write into its upsert, queue the others behind it in order, and open the gate."""
    return [future.exception(30) for future in submit_behind(writer, index, writes)]  # type: ignore[misc]


def submit_behind(
    writer: GroupWriter, index: GatedIndex, writes: Sequence[Sequence[Row]]
) -> list[Future[Mapping[int, Permanent]]]:
    """The same, with what each write returns."""
    with ThreadPoolExecutor(len(writes)) as pool:
        futures = []
        for n, rows in enumerate(writes):
            futures.append(pool.submit(writer.write, rows, soon()))
            if n == 0:
                assert index.entered.wait(10)
            deadline = soon()
            while writer.queued < n:
                assert time.monotonic() < deadline
        index.gate.set()
    return futures


def test_what_gathers_during_an_upsert_is_one_upsert() -> None:
    """Twenty threads write one row each; all but the first share the second upsert."""
    index = GatedIndex()
    errors = queue_behind(GroupWriter(index, max_rows=100), index, [[row(n)] for n in range(20)])
    assert errors == [None] * 20
    assert index.upserts == [1, 19]
    assert len(index.rows) == 20


def test_an_upsert_is_never_larger_than_its_bound() -> None:
    """Groups are cut at the bound, and no write is divided."""
    index = GatedIndex()
    writes = [[row(0)]] + [[row(n), row(n + 1), row(n + 2)] for n in range(10, 40, 10)]
    assert queue_behind(GroupWriter(index, max_rows=7), index, writes) == [None] * 4
    assert index.upserts == [1, 6, 3]


def test_of_rows_with_one_id_the_last_wins() -> None:
    """Milvus stores or rejects an id that stands twice in one upsert, so it stands there once."""
    index = GatedIndex()
    writes = [[row(0)], [row(1, key="old.jpg")], [row(1, key="new.jpg")]]
    assert queue_behind(GroupWriter(index, max_rows=100), index, writes) == [None] * 3
    assert index.upserts == [1, 1]
    assert index.rows[row_id(1, 1)].object_key == "new.jpg"


def test_two_pictures_with_one_id_are_never_written_together() -> None:
    """The second of a collision is told to look again, and its row does not replace the first's."""
    index = GatedIndex()
    first, second = row(1, id_=5), row(2, company_id=9, id_=5)
    errors = queue_behind(GroupWriter(index, max_rows=100), index, [[row(0)], [first], [second]])
    assert [type(error) for error in errors] == [type(None), type(None), Transient]
    assert index.rows[5] == first


def test_every_thread_of_a_failed_upsert_hears_of_it() -> None:
    """One error reaches all whose rows it concerns, and the next group is tried anew."""
    index = GatedIndex()
    index.error = Transient("Milvus is away")
    writer = GroupWriter(index, max_rows=100)
    errors = queue_behind(writer, index, [[row(n)] for n in range(5)])
    assert [str(error) for error in errors] == ["Milvus is away"] * 5
    index.error = None
    writer.write([row(9)], soon())
    assert list(index.rows) == [row_id(1, 9)]


def test_an_error_nobody_thought_of_is_transient() -> None:
    """Whatever an upsert raises, its rows can be tried again."""
    index = MemoryIndex()
    index.rows = None  # type: ignore[assignment]
    with pytest.raises(Transient, match="TypeError"):
        GroupWriter(index, max_rows=100).write([row(1)], soon())


def test_a_thread_waits_for_its_turn_no_longer_than_its_deadline() -> None:
    """While another upsert hangs, a write gives up in time, and is not written later."""
    index = GatedIndex()
    writer = GroupWriter(index, max_rows=100)
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(writer.write, [row(0)], soon())
        assert index.entered.wait(10)
        with pytest.raises(Transient, match="in time"):
            writer.write([row(1)], time.monotonic() + 0.01)
        index.gate.set()
        hanging.result(30)
    assert list(index.rows) == [row_id(1, 0)]


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)))))
def test_exactly_the_refused_rows_come_back(drawn: tuple[int, set[int]]) -> None:
    """Of any rows, whichever are refused, those are named, all others are stored, and the upserts are few."""
    n, bad = drawn
    rows = [row(number) for number in range(n)]
    index = MemoryIndex(refused={rows[number].id for number in bad})
    refused = GroupWriter(index, max_rows=1000).write(rows, soon())
    assert refused.keys() == index.refused
    assert all(type(error) is Rejected for error in refused.values())
    assert index.rows == {one.id: one for one in rows if one.id not in refused}
    assert len(index.upserts) <= min(1 + 2 * len(bad) * ceil(log2(n)), 2 * n)


def test_one_refused_row_of_a_thousand_takes_twenty_upserts_more() -> None:
    """The group is halved ten times."""
    rows = [row(number) for number in range(1024)]
    index = MemoryIndex(refused={rows[333].id})
    GroupWriter(index, max_rows=1024).write(rows, soon())
    assert len(index.upserts) == 21


def test_each_thread_hears_only_of_its_own_refused_rows() -> None:
    """In a group of several threads the innocent are told nothing, and no two share an error."""
    index = GatedIndex()
    index.refused = {row_id(1, 2), row_id(1, 3), row_id(1, 5)}
    writes = [[row(0)], [row(1), row(2)], [row(3)], [row(4)], [row(5), row(6)]]
    answers = [future.result() for future in submit_behind(GroupWriter(index, max_rows=100), index, writes)]
    assert [set(answer) for answer in answers] == [set(), {row_id(1, 2)}, {row_id(1, 3)}, set(), {row_id(1, 5)}]
    errors = [error for answer in answers for error in answer.values()]
    assert len({id(error) for error in errors}) == len(errors)
    assert index.rows.keys() == {row_id(1, n) for n in (0, 1, 4, 6)}


def test_an_earlier_row_is_not_blamed_for_a_later_one_with_its_id() -> None:
    """The later row of an id is tried and refused; the earlier, which was not, is tried again."""
    index = GatedIndex()
    writes = [[row(0)], [row(1, key="good.jpg")], [row(1, key="x" * 1025)]]
    writer = GroupWriter(index, max_rows=100)
    _, earlier, later = submit_behind(writer, index, writes)
    assert isinstance(earlier.exception(), Transient)
    assert later.result().keys() == {row_id(1, 1)}
    assert writer.write(writes[1], soon()) == {}


class FailingIndex(MemoryIndex):
    """An index that refuses the first upsert, and fails the second in another way."""

    def __init__(self, then: Exception) -> None:
        super().__init__()
        self._errors = [then, RowsRejected("refused")]

    def upsert(self, rows: Sequence[Row]) -> None:
        """Fail, twice."""
        if self._errors:
            raise self._errors.pop()
        super().upsert(rows)


@pytest.mark.parametrize("error", [Transient("away"), Misconfigured("another schema")])
def test_what_else_goes_wrong_in_the_search_for_refused_rows_is_raised(error: Exception) -> None:
    """A row is called refused only where Milvus said so of this row alone."""
    writer = GroupWriter(FailingIndex(error), max_rows=100)
    with pytest.raises(type(error), match=str(error)):
        writer.write([row(1), row(2)], soon())
    assert writer.write([row(1), row(2)], soon()) == {}


def test_the_search_for_refused_rows_ends_with_the_deadline() -> None:
    """A write that must be over by then does not go on halving."""
    index = MemoryIndex(refused={row_id(1, 1)})
    with pytest.raises(Transient, match="in time"):
        GroupWriter(index, max_rows=100).write([row(1), row(2)], time.monotonic() - 1)
    assert index.upserts == [2]
