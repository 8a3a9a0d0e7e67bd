"""Group commit: few upserts, and every thread hears of its own rows."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from contract import row_id
from worker.core.errors import Transient
from worker.ports import Row
from worker.services.writer import GroupWriter
from worker.testing import MemoryIndex


def row(meta_id: int, *, company_id: int = 1, key: str = "a.jpg", id_: int | None = None) -> Row:
    """A row of some picture."""
    return Row(id_ or row_id(company_id, meta_id), meta_id, company_id, bytes(8), key, 0, 0)


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
        return [future.exception(30) for future in futures]  # type: ignore[misc]


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
