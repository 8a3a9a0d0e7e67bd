"""One run of one fault: its pictures, its load, and what was accepted."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random
from typing import Any, Final

from contract import Reason, ServiceUnavailable
from tests.chaos.pictures import Picture, pictures
from tests.chaos.rig import Rig
from tests.chaos.schedule import batches, shares, strikes
from tests.chaos.verdict import Row, Upload

COMPANIES: Final = 5
_OBJECTS: Final = (100, 200)
_ACCEPT_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.1


class Run:
    """What a fault is made with.

    Args:
        rig: where.
        name: of the fault, the first part of its objects' keys.
        random: what is left to chance.
        first_id: the first meta_id that no other run has.
        events: how many to enqueue.
        strikes: how often the fault is to be made.
    """

    def __init__(self, rig: Rig, name: str, random: Random, *, first_id: int, events: int, strikes: int) -> None:
        self.rig = rig
        self.random = random
        self.strikes = strikes
        self.struck = 0
        self.sent = 0
        self.refused = 0
        self.accepted: dict[int, Upload] = {}
        self.last_strike: float | None = None
        self._name = name
        self._first_id = first_id
        self._next_id = first_id
        self._objects = self._fill_bucket(min(max(events * 3 // 4, _OBJECTS[0]), _OBJECTS[1]))
        self.uploads = [self.upload(*random.choice(self._objects)) for _ in range(events)]

    @property
    def ids(self) -> range:
        """The meta_ids that were given to pictures."""
        return range(self._first_id, self._next_id)

    def key(self, name: str) -> str:
        """Name an object of this run."""
        return f"{self._name}/{name}.jpg"

    def upload(self, key: str, picture: Picture, reason: Reason | None = None) -> Upload:
        """Make up a picture of the next meta_id, whose event ends as a row or, with a reason, as a dead letter."""
        self._next_id += 1
        row = Row(self._next_id - 1, self.random.randrange(COMPANIES), key, picture.vector)
        return Upload(row, reason)

    def send(self, uploads: Sequence[Upload], *, size: int | None = None) -> None:
        """Enqueue events in messages of 10 to 20, or of `size`; what is refused is sent again until it is accepted.

        Raises:
            ServiceUnavailable: nothing was accepted for a minute.
        """
        messages = batches(self.random, uploads) if size is None else shares(uploads, -(-len(uploads) // size))
        for message in messages:
            self._send(message)

    def accept(self, uploads: Sequence[Upload]) -> None:
        """Note that events were accepted: from now on they must not be lost."""
        self.sent += len(uploads)
        self.accepted |= {upload.row.meta_id: upload for upload in uploads}

    @contextmanager
    def sending(self, uploads: Sequence[Upload]) -> Iterator[None]:
        """Enqueue events in another thread meanwhile, and wait until all are accepted."""
        with ThreadPoolExecutor(1) as thread:
            sent = thread.submit(self.send, uploads)
            yield
            sent.result()

    def strike_all(
        self, blow: Callable[[str], None], targets: Sequence[str], *, within: float, rest: float = 0.0
    ) -> None:
        """Enqueue all events in as many bursts as there are strikes; each burst is struck while it is under way.

        Args:
            blow: strikes a target, and notes that.
            targets: of which one is struck at a time.
            within: seconds after the beginning of its burst, at the latest.
            rest: seconds in which the stack may recover before it is struck again.
        """
        planned = strikes(self.random, self.strikes, targets, within=within)
        for strike, burst in zip(planned, shares(self.uploads, len(planned)), strict=True):
            self.rig.stack.wait_ready(strike.target)
            with self.sending(burst):
                time.sleep(strike.after)
                blow(strike.target)
            if strike is not planned[-1]:
                self.rig.settled(rest)

    def kill(self, name: str) -> None:
        """Kill the process of a program of the stack, which starts it again."""
        self.rig.stack.kill(name)
        self.note_strike()

    def note_strike(self, count: int = 1) -> None:
        """Note that the fault was made just now, so often."""
        self.struck += count
        self.last_strike = time.monotonic()

    def _send(self, message: Sequence[Upload]) -> None:
        deadline = time.monotonic() + _ACCEPT_SECONDS
        events = [upload.event for upload in message]
        while True:
            try:
                self.rig.client.enqueue_many(events, batch_size=len(events))
            except ServiceUnavailable:
                self.refused += 1
                if time.monotonic() > deadline:
                    raise
            else:
                self.accept(message)
                return
            time.sleep(_PAUSE_SECONDS)

    def _fill_bucket(self, count: int) -> list[tuple[str, Picture]]:
        chosen = [(self.key(str(number)), self.random.choice(pictures())) for number in range(count)]
        self.rig.put({key: picture.body for key, picture in chosen})
        return chosen


def message_of(uploads: Sequence[Upload]) -> dict[str, Any]:
    """Give the arguments of the task that indexes them, as an application that has only Celery sends them."""
    return {"events": [upload.event for upload in uploads]}
