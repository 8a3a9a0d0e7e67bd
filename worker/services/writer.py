"""Group commit: one upsert at a time, for the rows of all threads of the process."""

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from contract import LookalikeError
from producer import tracing
from producer.tracing import Trace
from worker import metrics
from worker.core.errors import Permanent, Rejected, RowsRejected, Transient
from worker.core.outcomes import explain
from worker.ports import Row, VectorIndex

log = structlog.get_logger(__name__)


@dataclass(eq=False, slots=True)
class _Write:
    rows: Sequence[Row]
    deadline: float
    trace: Trace | None = field(default_factory=tracing.current, init=False)
    done: bool = field(default=False, init=False)
    refused: Mapping[int, Permanent] = field(default_factory=dict, init=False)
    error: LookalikeError | None = field(default=None, init=False)


class GroupWriter:
    """Writes the rows that gathered while the upsert before was under way, as one.

    A thread that wants to write queues its rows and waits for its turn. Whoever's turn comes first writes for all that
    are queued by then, so a busy process makes few large upserts and an idle one never waits. It is the group commit of
    databases (DeWitt et al., "Implementation Techniques for Main Memory Database Systems", 1984), and needs no thread
    of its own.

    Where Milvus refuses a group for what is in it, the group is halved until the rows to blame stand alone: for `k` of
    `n` rows that takes about `2 k log2(n)` upserts more, and all the others are written.
    """

    def __init__(self, index: VectorIndex, *, max_rows: int) -> None:
        self._index = index
        self._max_rows = max_rows
        self._queue: deque[_Write] = deque()
        self._turn = threading.Lock()

    @property
    def queued(self) -> int:
        """How many writes wait for an upsert."""
        return len(self._queue)

    def write(self, rows: Sequence[Row], deadline: float) -> Mapping[int, Permanent]:
        """Write rows, and return when Milvus has acknowledged them.

        Returns:
            Why a row is refused, by its id; nothing where all are acknowledged.

        Raises:
            Transient: not by the deadline (they may still be written), or Milvus failed.
            Misconfigured: Milvus refuses.
        """
        write = _Write(rows, deadline)
        self._queue.append(write)
        if not self._turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
            # If another thread is writing them at this moment, they may still become rows; if none is, none will.
            with suppress(ValueError):
                self._queue.remove(write)
            raise Transient("the rows were not acknowledged in time")
        try:
            if not write.done:
                self._flush()
        finally:
            self._turn.release()
        if write.error is not None:
            raise write.error
        return write.refused

    def _flush(self) -> None:
        """Write all that is queued, in groups of a bounded size."""
        while self._queue:
            group, rows = self._take()
            failed: Exception | None = None
            refused: Mapping[Row, RowsRejected] = {}
            try:
                refused = self._upsert(rows, max(write.deadline for write in group), _joining(group))
            except Exception as error:  # noqa: BLE001 - it is told to each thread that waits for these rows
                failed = error
            for write in group:
                if failed is not None:
                    write.error = _again(failed)
                else:
                    _tell(write, refused)
                write.done = True

    def _upsert(self, rows: Sequence[Row], deadline: float, joining: Sequence[Trace]) -> dict[Row, RowsRejected]:
        """Write rows, and find those that are refused."""
        metrics.UPSERT_ROWS.observe(len(rows))
        try:
            with metrics.UPSERT.time(), tracing.span("upsert", attributes={"rows": len(rows)}, links=joining):
                self._index.upsert(rows)
        except RowsRejected as error:
            if len(rows) == 1:
                return {rows[0]: error}
            if time.monotonic() > deadline:
                raise Transient("the rows that are refused were not found in time") from error
            half = len(rows) // 2
            return self._upsert(rows[:half], deadline, joining) | self._upsert(rows[half:], deadline, joining)
        return {}

    def _take(self) -> tuple[list[_Write], list[Row]]:
        """Take writes off the queue. Of rows with the same id the last wins, as if they were written one by one."""
        group: list[_Write] = []
        rows: dict[int, Row] = {}
        while self._queue and (not group or len(rows) + len(self._queue[0].rows) <= self._max_rows):
            write = self._queue.popleft()
            if any(_collides(row, rows.get(row.id)) for row in write.rows):
                # Two pictures with one key, neither stored yet. The second looks again, and finds the first.
                write.error = Transient("another picture with the same primary key is just being written")
                write.done = True
                continue
            group.append(write)
            rows |= {row.id: row for row in write.rows}
        return group, list(rows.values())


def _joining(group: Iterable[_Write]) -> list[Trace]:
    """The traces of the threads that do not write themselves, but whose rows are in the group."""
    joining = tracing.others(write.trace for write in group)
    if joining:
        log.debug("rows_written_together", trace_ids=[trace.trace_id for trace in joining])
    return joining


def _tell(write: _Write, refused: Mapping[Row, RowsRejected]) -> None:
    """Tell a thread which of its rows are refused."""
    write.refused = {row.id: _rejected(refused[row]) for row in write.rows if row in refused}
    if {row.id for row in write.rows} & {row.id for row in refused} - write.refused.keys():
        # Another thread's row stood for this thread's, as the later one of an id. What was refused is not this one.
        write.error = Transient("a later row with the same primary key was refused")


def _rejected(error: RowsRejected) -> Rejected:
    rejected = Rejected(str(error))
    rejected.__cause__ = error
    return rejected


def _again(error: Exception) -> LookalikeError:
    """An error of its own for each thread: an exception that several raise gathers the tracebacks of all."""
    again = type(error)(str(error)) if isinstance(error, LookalikeError) else Transient(explain(error))
    again.__cause__ = error
    return again


def _collides(row: Row, other: Row | None) -> bool:
    return other is not None and (row.company_id, row.meta_id) != (other.company_id, other.meta_id)
