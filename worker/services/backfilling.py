"""Enqueuing what a bucket holds already, a part in each call."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from json import dumps
from typing import Any, Final, Protocol

import structlog

from contract import MAX_EVENTS, ObjectEvent, UploadEvent
from contract.backfill import Backfilling, BackfillResult
from contract.id_texts import IdName
from worker.core.errors import Unmapped
from worker.core.mapping import Mapper
from worker.ports import Jobs, ListedObject, Listing

log = structlog.get_logger(__name__)

# As many as OSS lists at once.
PAGE: Final = 1000
_SECONDS: Final = 2.0
_NO_LIMIT: Final = 1 << 62
# A call that died leaves its turn for so long. Two calls at once do no harm: what one enqueues the other may, too.
_TURN_SECONDS: Final = 15


class Acceptor(Protocol):
    """Takes events, so that they are never lost."""

    def accept(self, events: Sequence[Any]) -> object:
        """Accept 1 to 100 events."""


class _AsksMetadata(Exception):
    """Whose picture it is stands in the metadata, which the listing does not tell."""


@dataclass(frozen=True, slots=True)
class _Progress:
    """How far a job has come: the last key that was dealt with, and the counts until then."""

    since: int | None
    last_key: str = ""
    read: int = 0
    enqueued: int = 0
    unmapped: int = 0
    skipped: int = 0
    bytes: int = 0

    def covers(self, since: int | None) -> bool:
        """Whether what was dealt with until now is all that a job since then would have."""
        return self.since is None or (since is not None and self.since <= since)


class Backfill:
    """Enqueues an event of every object under a prefix, in the order of their keys.

    Its checkpoint is saved after the events are in the ledger. A call that dies in between has its events enqueued
    again, which does no harm; none is skipped.
    """

    def __init__(
        self,
        listing: Listing,
        acceptor: Acceptor,
        jobs: Jobs,
        mapper: Mapper,
        *,
        seconds: float = _SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Backfill from a bucket.

        Args:
            listing: of the bucket.
            acceptor: of the events.
            jobs: holds the checkpoint.
            mapper: finds ids.
            seconds: that a call takes, about.
            monotonic: a clock.
        """
        self._listing = listing
        self._acceptor = acceptor
        self._jobs = jobs
        self._mapper = mapper
        self._seconds = seconds
        self._monotonic = monotonic

    def __call__(self, wanted: Backfilling) -> BackfillResult:
        """Go on for about two seconds: with a job that has ended, from the beginning.

        Raises:
            Busy: another worker is at the same job.
            Overloaded: too many events are outstanding. What was enqueued until then is remembered.
            Transient, Misconfigured: OSS failed or refuses.
        """
        deadline = self._monotonic() + self._seconds
        name = self._name(wanted)
        done = False
        with self._jobs.turn(name, seconds=_TURN_SECONDS):
            progress = self._begin(name, wanted)
            enough = min(wanted.limit or _NO_LIMIT, progress.enqueued + (wanted.most or _NO_LIMIT))
            try:
                while not done and progress.enqueued < enough and self._monotonic() < deadline:
                    size = min(PAGE, enough - progress.enqueued)
                    page = self._listing.objects(wanted.prefix, progress.last_key, size)
                    for start in range(0, len(page), MAX_EVENTS):
                        progress = self._enqueue(page[start : start + MAX_EVENTS], progress, wanted)
                    self._jobs.save(name, asdict(progress))
                    done = len(page) < size or progress.enqueued == wanted.limit
            finally:
                if done:
                    self._jobs.drop(name)
                else:
                    self._jobs.save(name, asdict(progress))
        result = BackfillResult(
            prefix=wanted.prefix,
            read=progress.read,
            enqueued=progress.enqueued,
            unmapped=progress.unmapped,
            skipped=progress.skipped,
            bytes=progress.bytes,
            last_key=progress.last_key,
            done=done,
        )
        log.info("backfilled", dry_run=wanted.dry_run, **result)
        return result

    def _name(self, wanted: Backfilling) -> str:
        """The name of the job: the same for every call for the same objects."""
        same = wanted.model_dump(exclude={"version", "since", "restart", "most"}) | {"bucket": self._mapper.bucket}
        return f"backfill:{sha256(dumps(same, sort_keys=True).encode()).hexdigest()[:32]}"

    def _begin(self, name: str, wanted: Backfilling) -> _Progress:
        kept = None if wanted.restart else self._jobs.load(name)
        progress = None if kept is None else _Progress(**kept)
        # `--since 7d` is another moment each time: what has begun earlier covers it.
        return progress if progress is not None and progress.covers(wanted.since) else _Progress(wanted.since)

    def _enqueue(self, objects: Sequence[ListedObject], progress: _Progress, wanted: Backfilling) -> _Progress:
        """Have the events of some objects accepted, and say how far that is."""
        events = []
        for one in objects:
            progress = replace(progress, last_key=one.key, read=progress.read + 1)
            folder = one.key.endswith("/") and one.size == 0
            if folder or (progress.since is not None and one.modified < progress.since):
                progress = replace(progress, skipped=progress.skipped + 1)
                continue
            event, mapped = self._event(one.key, wanted.key_template)
            if not mapped:
                progress = replace(progress, unmapped=progress.unmapped + 1)
            if mapped or not wanted.skip_unmapped:
                progress = replace(progress, enqueued=progress.enqueued + 1, bytes=progress.bytes + one.size)
                events.append(event.model_dump())
        if events and not wanted.dry_run:
            self._acceptor.accept(events)
        return progress

    def _event(self, key: str, template: str | None) -> tuple[UploadEvent | ObjectEvent, bool]:
        """The event of an object, and whether its ids can be found, now or by who asks for its metadata."""
        event = ObjectEvent(object_key=key, source="oss", key_template=template)
        try:
            return self._mapper(event, _ask), True
        except _AsksMetadata:
            return event, True
        except Unmapped:
            return event, False


def _ask() -> Mapping[IdName, str]:
    raise _AsksMetadata
