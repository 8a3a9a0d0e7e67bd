"""Filling a profile from what is indexed already, a page at a time."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, Protocol

import structlog

from contract import MAX_EVENTS, ReindexResult, UploadEvent, row_id
from worker.ports import Jobs, Picture, PictureSource, VectorIndex

log = structlog.get_logger(__name__)

# Rows of a page: ten messages, some 50 ms of reading.
PAGE: Final = 1000


class Acceptor(Protocol):
    """Takes events, so that they are never lost."""

    def accept(self, events: Sequence[Any]) -> object:
        """Accept 1 to 100 events."""


@dataclass(frozen=True, slots=True)
class _Progress:
    """How far a job has come: the last primary key that was read, and the counts until then.

    `total` is what there was when it began.
    """

    total: int
    after: int = -1
    read: int = 0
    present: int = 0
    enqueued: int = 0


class Reindex:
    """Enqueues an event of every picture that a collection names and a profile's has not.

    Workers then hash them as they do all events. A picture that is replaced or deleted meanwhile stays so, for the
    event is on condition: of a source that these workers write, that the picture is still indexed as this object; of
    any other, that it is not indexed as another. What a page enqueued before its checkpoint was saved is enqueued
    again, which does no harm.
    """

    def __init__(
        self,
        index: VectorIndex,
        source: PictureSource,
        acceptor: Acceptor,
        jobs: Jobs,
        *,
        name: str,
        when: Literal["indexed", "absent"],
    ) -> None:
        """Fill a profile.

        Args:
            index: the profile's collection.
            source: the collection that names the pictures.
            acceptor: of the events.
            jobs: holds the checkpoint.
            name: of the job: of the two collections.
            when: the condition of the events.
        """
        self._index = index
        self._source = source
        self._acceptor = acceptor
        self._jobs = jobs
        self._name = name
        self._when = when

    def __call__(self, *, profile: str, source: str) -> ReindexResult:
        """Do the next page: of a job that has ended, the first.

        Args:
            profile: the name that the result says.
            source: the same.

        Raises:
            Busy: another worker is at the same job.
            Overloaded: too many events are outstanding. What was enqueued of the page is enqueued again.
            Transient, Misconfigured: Milvus failed or refuses.
        """
        with self._jobs.turn(self._name):
            kept = self._jobs.load(self._name)
            progress = _Progress(self._source.total()) if kept is None else _Progress(**kept)
            pictures = self._source.pictures(progress.after, PAGE)
            missing = self._missing(pictures)
            for start in range(0, len(missing), MAX_EVENTS):
                self._acceptor.accept([self._event(picture) for picture in missing[start : start + MAX_EVENTS]])
            done = len(pictures) < PAGE
            progress = replace(
                progress,
                after=pictures[-1].id if pictures else progress.after,
                read=progress.read + len(pictures),
                present=progress.present + len(pictures) - len(missing),
                enqueued=progress.enqueued + len(missing),
            )
            if done:
                self._jobs.drop(self._name)
            else:
                self._jobs.save(self._name, asdict(progress))
        log.info("reindexed", source=source, hash=profile, done=done, **asdict(progress))
        return ReindexResult(
            hash=profile,
            source=source,
            read=progress.read,
            total=progress.read if done else max(progress.read, progress.total),
            present=progress.present,
            enqueued=progress.enqueued,
            done=done,
        )

    def _missing(self, pictures: Sequence[Picture]) -> list[Picture]:
        """Those that have no row. A row of another object was made by a later event."""
        ids = {row_id(picture.company_id, picture.meta_id): picture.company_id for picture in pictures}
        present = self._index.lookup(ids).keys()
        return [picture for picture in pictures if row_id(picture.company_id, picture.meta_id) not in present]

    def _event(self, picture: Picture) -> dict[str, object]:
        event = UploadEvent(
            object_key=picture.object_key, meta_id=picture.meta_id, company_id=picture.company_id, when=self._when
        )
        return event.model_dump()
