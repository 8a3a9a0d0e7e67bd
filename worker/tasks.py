"""The tasks: each calls the runtime, and says what Celery is to do when that fails."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from billiard.exceptions import WorkerLostError
from celery import Celery, Task
from celery.exceptions import Ignore, Reject
from celery.worker.request import Request

from contract import (
    BACKFILL,
    DELETE,
    DUPLICATES,
    EVALUATE,
    INGEST,
    INSPECT,
    MEMBERS,
    OBJECTS,
    REINDEX,
    ROWS,
    SEARCH,
    SEARCH_MANY,
    STATS,
    SWEEP,
    THUMBNAILS,
    BackfillResult,
    DeleteResult,
    EvaluationResult,
    IngestResult,
    InvalidMessage,
    MembersResult,
    Overloaded,
    QueryNotFound,
    QueryRejected,
    Reason,
    ReindexResult,
    SearchManyResult,
    SearchResult,
    ServiceMisconfigured,
    ServiceUnavailable,
)
from contract.audit import InspectResult, ObjectsResult, RowsResult
from contract.duplicates import DuplicatesResult
from contract.thumbnails import ThumbnailsResult
from worker.consumer import Enduring
from worker.core.errors import Busy, Misconfigured, Transient
from worker.runtimes import Runtimes

_REDELIVER_SECONDS: Final = 1.0

# What a caller is told is no fault of ours: Celery keeps no traceback of it in the logs.
_TOLD: Final = (InvalidMessage, QueryNotFound, QueryRejected, ServiceUnavailable)


def register(app: Celery, runtimes: Runtimes) -> None:
    """Declare the tasks on an application, and on no other that the process makes."""
    _register_writes(app, runtimes)
    _register_reads(app, runtimes)
    _register_upkeep(app, runtimes)
    _register_jobs(app, runtimes)
    _register_audit(app, runtimes)


def _watched(runtimes: Runtimes) -> type[Request]:
    """Make a kind of request whose main process notes at once that a child of its pool died or hung over it."""

    class Watched(Enduring):
        def on_failure(self, exc_info: Any, *arguments: Any, **options: Any) -> None:
            # First, because the message goes back to the queue in there.
            if isinstance(exc_info.exception, WorkerLostError | SystemExit):
                runtimes.current().deaths(str(self.id), Reason.CRASH)
            super().on_failure(exc_info, *arguments, **options)

        def on_timeout(self, soft: bool, timeout: float) -> None:
            if not soft:
                runtimes.current().deaths(str(self.id), Reason.TIMEOUT)
            super().on_timeout(soft, timeout)

    return Watched


def _register_writes(app: Celery, runtimes: Runtimes) -> None:
    @app.task(name=INGEST, bind=True, throws=_TOLD, shared=False, Request=_watched(runtimes))
    def ingest(self: "Task[Any, Any]", *args: Any, **message: Any) -> IngestResult:
        """Index the pictures of 1 to 100 events."""
        try:
            return runtimes.current().ingest(str(self.request.id), _keywords(args, message))
        except Busy as error:
            # Not a result: this delivery has the same task id as the one that will have it.
            raise Ignore from error
        except ServiceUnavailable as error:
            # Without the ledger nothing can be promised: the message goes back to the queue as it is.
            time.sleep(_REDELIVER_SECONDS)
            raise Reject(str(error), requeue=True) from error

    @app.task(name=DELETE, bind=True, max_retries=None, throws=_TOLD, shared=False, Request=Enduring)
    def delete(self: "Task[Any, Any]", *args: Any, **message: Any) -> DeleteResult:
        """Remove 1 to 100 pictures from the index."""
        runtime = runtimes.current()
        try:
            return runtime.delete(_keywords(args, message))
        except (Transient, Misconfigured) as error:
            countdown = runtime.policy.delay(self.request.retries + 1)
            raise self.retry(exc=ServiceUnavailable(str(error)), countdown=countdown) from error


def _register_reads(app: Celery, runtimes: Runtimes) -> None:
    # A search is not worth doing twice: its caller waits, and asks again. So it is acknowledged at once.
    @app.task(name=SEARCH, acks_late=False, throws=_TOLD, shared=False, Request=Enduring)
    def search(*args: Any, **message: Any) -> SearchResult:
        """Find the pictures that look like one."""
        return runtimes.current().answers.search(_keywords(args, message))

    @app.task(name=SEARCH_MANY, acks_late=False, throws=_TOLD, shared=False, Request=Enduring)
    def search_many(*args: Any, **message: Any) -> SearchManyResult:
        """Find the pictures that look like each of 1 to 100."""
        return runtimes.current().answers.search_many(_keywords(args, message))

    @app.task(name=MEMBERS, acks_late=False, throws=_TOLD, shared=False, Request=Enduring)
    def members(*args: Any, **message: Any) -> MembersResult:
        """Read a page of the pictures that have one vector."""
        return runtimes.current().answers.members(_keywords(args, message))

    @app.task(name=THUMBNAILS, acks_late=False, throws=_TOLD, shared=False, Request=Enduring)
    def thumbnails(*args: Any, **message: Any) -> ThumbnailsResult:
        """Make small JPEGs of 1 to 100 pictures."""
        with _told():
            return runtimes.current().answers.thumbnails(_keywords(args, message))


def _register_upkeep(app: Celery, runtimes: Runtimes) -> None:
    @app.task(name=STATS, acks_late=False, throws=_TOLD, shared=False, Request=Enduring)
    def stats() -> dict[str, dict[str, int]]:
        """Count the rows of the collections."""
        with _told():
            return runtimes.current().answers.stats()

    @app.task(name=SWEEP, acks_late=False, throws=_TOLD, shared=False, Request=Enduring)
    def sweep() -> dict[str, int]:
        """Publish again what was lost, or whose worker died."""
        return {"published": runtimes.current().sweep()}


def _register_audit(app: Celery, runtimes: Runtimes) -> None:
    @app.task(name=OBJECTS, acks_late=False, throws=_TOLD, shared=False, Request=Enduring)
    def objects(*args: Any, **message: Any) -> ObjectsResult:
        """Read a page of the bucket."""
        with _told():
            return runtimes.current().answers.objects(_keywords(args, message))

    @app.task(name=ROWS, acks_late=False, throws=_TOLD, shared=False, Request=Enduring)
    def rows(*args: Any, **message: Any) -> RowsResult:
        """Read a page of a collection."""
        with _told():
            return runtimes.current().answers.rows(_keywords(args, message))

    @app.task(name=INSPECT, acks_late=False, throws=_TOLD, shared=False, Request=Enduring)
    def inspect(*args: Any, **message: Any) -> InspectResult:
        """Look closer at 1 to 100 objects, and at the rows of their pictures."""
        with _told():
            return runtimes.current().answers.inspect(_keywords(args, message))


def _register_jobs(app: Celery, runtimes: Runtimes) -> None:
    # Each call does a part of the work, and says how far it has come: the caller calls until it is done.
    @app.task(name=REINDEX, acks_late=False, throws=(*_TOLD, Overloaded), shared=False, Request=Enduring)
    def reindex(*args: Any, **message: Any) -> ReindexResult:
        """Enqueue the next page of pictures that a profile lacks."""
        with _told():
            return runtimes.current().answers.reindex(_keywords(args, message))

    @app.task(name=BACKFILL, acks_late=False, throws=(*_TOLD, Overloaded), shared=False, Request=Enduring)
    def backfill(*args: Any, **message: Any) -> BackfillResult:
        """Enqueue some more of the objects that are in the bucket already."""
        with _told():
            return runtimes.current().answers.backfill(_keywords(args, message))

    @app.task(name=DUPLICATES, acks_late=False, throws=_TOLD, shared=False, Request=Enduring)
    def duplicates(*args: Any, **message: Any) -> DuplicatesResult:
        """Do the next step of grouping a tenant's pictures, or hand out a page of the groups."""
        with _told():
            return runtimes.current().answers.duplicates(_keywords(args, message))

    @app.task(name=EVALUATE, acks_late=False, throws=_TOLD, shared=False, Request=Enduring)
    def evaluate(*args: Any, **message: Any) -> EvaluationResult:
        """Hash some more pictures and their changed copies, and in the end say how well the profiles tell them."""
        with _told():
            return runtimes.current().answers.evaluate(_keywords(args, message))


@contextmanager
def _told() -> Iterator[None]:
    """Tell the caller what failed outside."""
    try:
        yield
    except Misconfigured as error:
        raise ServiceMisconfigured(str(error)) from error
    except (Transient, Busy) as error:
        raise ServiceUnavailable(str(error)) from error


def _keywords(args: tuple[Any, ...], message: dict[str, Any]) -> dict[str, Any]:
    """The message. What came without a name stands in it under one that no message has, so it is refused, not lost."""
    return {**message, "arguments not given by name": list(args)} if args else message
