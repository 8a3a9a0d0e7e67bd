"""What can be done with dead letters: look at them, have their events tried again, throw them away."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from contract import MAX_EVENTS, InvalidMessage, Overloaded, ServiceUnavailable, decode_event
from producer import tracing
from producer.backpressure import Backpressure
from producer.errors import PartlyEnqueued
from producer.ledger import Ledger
from producer.publisher import Publisher
from producer.selection import NEWEST, Selection, StoredLetter

_ALL: Final = Selection()
_PURGE: Final = 500  # letters in a command


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """How many events are enqueued again, and how many letters stay because their event fits no contract."""

    replayed: int
    left: int


class ReplayInterrupted(PartlyEnqueued, ServiceUnavailable):
    """Redis or the broker failed on the way, or a wait took too long.

    `accepted` events are enqueued again; what is not is a dead letter still. The last of them may
    stand in the ledger alone, from where the sweeper publishes them.
    """


class DeadLetters:
    """The dead letters of one ledger. Whatever their number, a page of them is held at a time.

    All methods raise `ServiceUnavailable` when Redis cannot be reached or refuses.

    Args:
        ledger: that holds them.
        publisher: that puts their events on the queue.
        backpressure: by which a replay waits.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        ledger: Ledger,
        publisher: Publisher,
        backpressure: Backpressure,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._backpressure = backpressure
        self._clock = clock

    def read(self, selection: Selection = _ALL) -> Iterator[StoredLetter]:
        """Read the letters that are selected, oldest first; those asked for by id in the order of the ids."""
        return self._ledger.dead.read(selection)

    def up_to_now(self, selection: Selection) -> Selection:
        """Bound a selection to the letters that there are now.

        Otherwise a replay would meet the letters of the events that it replayed, and never end. One that is bounded
        already stays as it is.
        """
        if selection.last_id != NEWEST:
            return selection
        return replace(selection, last_id=self._ledger.dead.newest_id())

    def count(self, selection: Selection = _ALL) -> int:
        """Count the letters that are selected."""
        if selection == _ALL:
            return self._ledger.dead.count()
        return sum(1 for _ in self.read(selection))

    def replay(
        self,
        selection: Selection,
        *,
        reject: Callable[[StoredLetter, str], None] | None = None,
        progress: Callable[[int], None] | None = None,
        wait: float | None = None,
        waiting: Callable[[int], None] | None = None,
    ) -> ReplayResult:
        """Enqueue the events of letters again, and remove the letters. The events begin anew: no attempts, seen now.

        A letter is removed in the same step that puts its event into the ledger, so it is never lost, and two replays
        at once do not double it. It waits while there is a backlog, as `Client.enqueue_many` does.

        Args:
            selection: of letters, of those that there are now.
            reject: called with each letter that stays, because its event fits no contract, and why.
            progress: called after each message with the number of events that are enqueued again.
            wait: seconds that one wait may take; None: for ever.
            waiting: called again and again while it waits, with the number of outstanding events.

        Raises:
            ReplayInterrupted: how far it came.
        """
        left = 0
        room = self._backpressure.bounded(wait, waiting)

        def replayable() -> Iterator[StoredLetter]:
            nonlocal left
            for stored in self.read(self.up_to_now(selection)):
                try:
                    decode_event(stored.letter.event)
                except InvalidMessage as error:
                    left += 1
                    if reject is not None:
                        reject(stored, str(error))
                else:
                    yield stored

        replayed = 0
        letters = replayable()
        try:
            while batch := list(islice(letters, MAX_EVENTS)):
                room.if_due(len(batch))
                replayed += self._replay(batch, replayed)
                if progress is not None:
                    progress(replayed)
        except ReplayInterrupted:
            raise
        except (Overloaded, ServiceUnavailable) as error:
            raise ReplayInterrupted(f"{error}; replayed until then: {replayed:,} events", accepted=replayed) from error
        return ReplayResult(replayed, left)

    def purge(self, selection: Selection) -> int:
        """Remove letters, of those that there are now, for good, and count them."""
        ids = (stored.id for stored in self.read(self.up_to_now(selection)))
        purged = 0
        while batch := list(islice(ids, _PURGE)):
            purged += self._ledger.dead.delete(batch)
        return purged

    def _replay(self, letters: Iterable[StoredLetter], before: int) -> int:
        events = {stored.id: stored.letter.event for stored in letters}
        batch = self._ledger.reopen(tracing.new_task_id(), events, self._clock())
        if batch is None:
            return 0
        size = len(batch.events)
        try:
            self._publisher.publish(batch)
        except ServiceUnavailable as error:
            raise ReplayInterrupted(
                f"{error}; replayed until then: {before + size:,} events. The last {size:,} of them stand in the "
                "ledger, and the sweeper publishes them",
                accepted=before + size,
            ) from error
        return size
