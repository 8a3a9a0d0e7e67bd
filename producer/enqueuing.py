"""Enqueuing a stream of events of any length, in batches."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from contract import MAX_EVENTS, InvalidMessage, ObjectEvent, Overloaded, ServiceUnavailable, UploadEvent, decode_event
from producer.backpressure import Wait
from producer.errors import Interrupted, InvalidEvent
from producer.publisher import Publisher
from producer.tracing import traced


@dataclass(frozen=True, slots=True)
class EnqueueResult:
    """How many events were enqueued, and how many messages carry them."""

    events: int
    batches: int


def enqueue_all(
    publisher: Publisher,
    events: Iterable[UploadEvent | ObjectEvent | Mapping[str, Any]],
    *,
    wait: Wait,
    batch_size: int,
    progress: Callable[[int], None] | None,
) -> EnqueueResult:
    """Enqueue events as they come, `batch_size` in a message, holding one batch at a time, and waiting for a backlog.

    All are in one trace.

    Raises:
        InvalidMessage: `batch_size` is not in 1 .. 100.
        InvalidEvent: an event does not fit the contract; all before it are enqueued.
        Interrupted: a batch was not taken, or waited too long for a backlog; all before it are enqueued.
    """
    if not 1 <= batch_size <= MAX_EVENTS:
        raise InvalidMessage(f"batch_size: a message carries 1 to {MAX_EVENTS} events, not {batch_size}")
    with traced():
        return _enqueue_each(_Stream(publisher, wait, progress), events, batch_size)


def _enqueue_each(
    stream: "_Stream", events: Iterable[UploadEvent | ObjectEvent | Mapping[str, Any]], batch_size: int
) -> EnqueueResult:
    for index, event in enumerate(events):
        try:
            valid = encode_event(event)
        except InvalidMessage as error:
            stream.flush()
            raise InvalidEvent(
                f"event {index} (counted from 0): {error}; the {index:,} before it are enqueued", accepted=index
            ) from None
        stream.batch.append(valid)
        if len(stream.batch) == batch_size:
            stream.flush()
    stream.flush()
    return EnqueueResult(stream.accepted, stream.batches)


def encode_event(event: UploadEvent | ObjectEvent | Mapping[str, Any]) -> dict[str, Any]:
    """Validate an event, and make JSON of it."""
    valid = decode_event(dict(event)) if isinstance(event, Mapping) else decode_event(event)
    # The same as `model_dump`, which takes three times as long for what has no depth.
    return {name: value for name, value in valid if value is not None}


class _Stream:
    def __init__(self, publisher: Publisher, wait: Wait, progress: Callable[[int], None] | None) -> None:
        self._publisher = publisher
        self._wait = wait
        self._progress = progress
        self.batch: list[dict[str, Any]] = []
        self.accepted = 0
        self.batches = 0
        self._outstanding = 0

    def flush(self) -> None:
        if not self.batch:
            return
        try:
            self._outstanding = self._accept()
        except (Overloaded, ServiceUnavailable) as error:
            raise Interrupted(
                f"{error}; {self.accepted:,} events are enqueued, those after them are not", accepted=self.accepted
            ) from error
        self.accepted += len(self.batch)
        self.batches += 1
        self.batch = []
        if self._progress is not None:
            self._progress(self.accepted)

    def _accept(self) -> int:
        # Before the next batch, not after the last: who has nothing more to send has nothing to wait for.
        if self._wait.is_due(self._outstanding):
            self._wait.for_room(len(self.batch))
        while True:
            try:
                return self._publisher.accept(self.batch).outstanding
            except Overloaded:
                self._wait.for_room(len(self.batch))
