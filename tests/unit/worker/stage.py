"""Attempts at pictures as actors, of which one at a time does one step: from one call of a port to the next."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from contract import Item, UploadEvent, row_id
from worker.core.errors import Transient
from worker.core.outcomes import Outcome, RetryPolicy
from worker.ports import Row
from worker.services.helpers import Helpers
from worker.services.ingest import Budget, Ingest
from worker.services.removal import Removal
from worker.services.room import Room
from worker.services.writer import GroupWriter
from worker.testing import MAPPER, MemoryClaims, MemoryIndex, MemoryObjects, fingerprinting

KEY: Final = "a.jpg"
EVENT: Final = UploadEvent(object_key=KEY, meta_id=1, company_id=1)
ITEM: Final = Item(meta_id=1, company_id=1)
ID: Final = row_id(1, 1)
_SECONDS: Final = 30


class Killed(BaseException):
    """Ends an actor where it is, as a signal ends a process."""


class Actor:
    """A thread that stands still before each call of a port, until it is told to go on."""

    def __init__(self, work: Callable[["Actor"], Any]) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = False
        self._work = work
        self._killed = False
        self._go = threading.Semaphore(0)
        self._stands = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def step(self) -> bool:
        """Go on to the next call, or to the end; whether it is the end."""
        self._go.release()
        assert self._stands.acquire(timeout=_SECONDS)
        if self.done:
            self._thread.join()
        return self.done

    def finish(self) -> Any:
        """Go on to the end, and raise or return how it ended."""
        while not self.done:
            self.step()
        if self.error is not None:
            raise self.error
        return self.result

    def kill(self) -> None:
        """End it where it stands."""
        self._killed = True
        while not self.done:
            self.step()

    def pause(self) -> None:
        """Stand still; called by the actor itself."""
        self._stands.release()
        assert self._go.acquire(timeout=_SECONDS)
        if self._killed:
            raise Killed

    def _run(self) -> None:
        assert self._go.acquire(timeout=_SECONDS)
        try:
            if not self._killed:
                self.result = self._work(self)
        except BaseException as error:  # noqa: BLE001 - whoever looks at the actor is told
            self.error = error
        self.done = True
        self._stands.release()


def _paused(port: Any, actor: Actor) -> Any:
    """A port whose every call waits for the actor's turn."""
    return _Paused(port, actor)


class _Paused:
    def __init__(self, port: Any, actor: Actor) -> None:
        self._port = port
        self._actor = actor

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._port, name)

        def call(*arguments: Any, **options: Any) -> Any:
            self._actor.pause()
            return method(*arguments, **options)

        return call


@dataclass
class StaleIndex(MemoryIndex):
    """An index whose reads, unless fresh, are `lag` writes behind. `failing` upserts are carried out, and fail."""

    lag: int = 0
    failing: int = 0
    _history: list[dict[int, Row]] = field(default_factory=lambda: [{}])

    def lookup(self, keys: Mapping[int, int], *, fresh: bool = False) -> Mapping[int, Row]:
        """Read rows as they are, or as they were."""
        rows = self.rows if fresh else self._history[max(0, len(self._history) - 1 - self.lag)]
        return {id_: rows[id_] for id_ in keys if id_ in rows}

    def upsert(self, rows: Sequence[Row]) -> None:
        """Write rows."""
        super().upsert(rows)
        self._history.append(dict(self.rows))
        if self.failing:
            self.failing -= 1
            raise Transient("no answer in time")

    def delete(self, keys: Mapping[int, int]) -> None:
        """Delete rows."""
        super().delete(keys)
        self._history.append(dict(self.rows))


class Stage:
    """One picture, and what all its attempts share. Each attempt is a process of its own."""

    def __init__(self) -> None:
        self.objects = MemoryObjects()
        self.index = StaleIndex()
        self.claims = MemoryClaims()

    def ingest(self, attempt: int = 1) -> Actor:
        """An attempt at the picture's event; its result is the outcome."""

        def work(actor: Actor) -> Outcome:
            index, claims = _paused(self.index, actor), _paused(self.claims, actor)
            ingest = Ingest(
                _paused(self.objects, actor),
                index,
                claims,
                GroupWriter(index, max_rows=100),
                fingerprinting(lambda body: body.ljust(8, b"\0")),
                profiles=["ahash"],
                mapper=MAPPER,
                removal=Removal(index, claims, delete_seconds=0),
                helpers=Helpers(1),
                room=Room(1000),
                policy=RetryPolicy(attempts=10_000),
                budget=Budget(begin=1000, each=1000, write=1000),
            )
            (outcome,) = ingest([EVENT.model_dump()], attempt, 0)
            return outcome

        return Actor(work)

    def delete(self) -> Actor:
        """A delete of the picture; its result is the number of rows."""

        def work(actor: Actor) -> int:
            return Removal(_paused(self.index, actor), _paused(self.claims, actor), delete_seconds=0)([ITEM])

        return Actor(work)

    @property
    def vector(self) -> bytes | None:
        """The picture's vector in the index, if it has a row."""
        row = self.index.rows.get(ID)
        return None if row is None else row.vector.rstrip(b"\0")
