"""What a worker answers to those who ask: searches, and the jobs that callers drive."""

import threading
import time
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Final

import structlog

from contract import (
    BackfillResult,
    EvaluationResult,
    InvalidMessage,
    Match,
    MembersResult,
    Profile,
    Query,
    ReindexResult,
    SearchManyResult,
    SearchOptions,
    SearchResult,
    decode_backfill,
    decode_evaluate,
    decode_members,
    decode_reindex,
    decode_search,
    decode_search_many,
)
from contract.audit import (
    InspectResult,
    ObjectsResult,
    RowsResult,
    decode_inspect,
    decode_objects,
    decode_rows,
)
from contract.duplicates import DuplicatesResult, decode_duplicates
from contract.thumbnails import ThumbnailsResult, decode_thumbnails
from producer import tracing
from producer.decisions import Decisions
from worker import metrics
from worker.adapters.job_state import RedisJobState
from worker.adapters.milvus import MilvusSource
from worker.core.chance import Estimate
from worker.core.fingerprinting import Fingerprinter, orientations
from worker.parts import Parts
from worker.ports import Scope
from worker.services.auditing import Auditing
from worker.services.backfilling import Backfill
from worker.services.chances import Chances
from worker.services.duplicates import Duplicates
from worker.services.evaluation import Evaluation
from worker.services.queries import Queries
from worker.services.reindexing import Reindex
from worker.services.search import Search
from worker.services.thumbnails import Thumbnails
from worker.services.verification import Verification
from worker.services.warming import warm

log = structlog.get_logger(__name__)

# Callers wait for 30 s unless they say otherwise.
_THUMBNAILS_SECONDS: Final = 20.0
# By which a second look is taken, the first of them that the worker serves.
_SECOND_LOOK: Final = ("pdq.upright", "pdq")


class Answers:
    """Answers the tasks that write nothing themselves."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @cached_property
    def _searches(self) -> Mapping[str, Search]:
        """Search by each profile, by the profile's name."""
        return {profile.name: self._make_search(profile) for profile in self._parts.settings.profiles}

    def _make_search(self, profile: Profile) -> Search:
        settings, index = self._parts.settings, self._parts.index_of(profile.name)
        indexes = self._parts.indexes
        second = next((indexes[name] for name in _SECOND_LOOK if name in indexes), None)
        return Search(
            index,
            Queries(
                self._parts.objects,
                index,
                Fingerprinter([profile], fast=settings.fast_hash == "auto"),
                profile=profile,
                max_image_bytes=settings.max_image_bytes,
                object_seconds=settings.object_seconds,
            ),
            self._chances[profile.name].of,
            profile=profile,
            verification=None
            if second is None
            else Verification(
                second,
                partial(orientations, profile=second.profile),
                partial(orientations, profile=profile),
            ),
            retry_seconds=settings.search_seconds,
        )

    @cached_property
    def _chances(self) -> Mapping[str, Chances]:
        """Estimates of chance by each profile, by the profile's name."""

        def make(profile: Profile) -> Chances:
            index = self._parts.index_of(profile.name)
            return Chances(index, lambda sample: Estimate.of(profile, sample.vectors, sample.total))

        return {profile.name: make(profile) for profile in self._parts.settings.profiles}

    def search(self, message: dict[str, Any]) -> SearchResult:
        """Answer `lookalike.search`."""
        query, options = decode_search(message)
        name = self._parts.index_of(options.hash).profile.name
        return {"hash": name, "matches": self._answer(name, [query], options)[0]}

    def search_many(self, message: dict[str, Any]) -> SearchManyResult:
        """Answer `lookalike.search_many`."""
        queries, options = decode_search_many(message)
        name = self._parts.index_of(options.hash).profile.name
        return {"hash": name, "results": self._answer(name, queries, options)}

    def members(self, message: dict[str, Any]) -> MembersResult:
        """Answer `lookalike.members`."""
        which = decode_members(message)
        return self._searches[self._parts.index_of(which.hash).profile.name].members(which)

    def thumbnails(self, message: dict[str, Any]) -> ThumbnailsResult:
        """Answer `lookalike.thumbnails`."""
        settings = self._parts.settings
        make = Thumbnails(
            self._parts.objects,
            self._parts.index,
            max_image_bytes=settings.max_image_bytes,
            call_seconds=_THUMBNAILS_SECONDS,
        )
        return make(decode_thumbnails(message))

    def reindex(self, message: dict[str, Any]) -> ReindexResult:
        """Answer `lookalike.reindex`: one page.

        Raises:
            InvalidMessage: this worker does not serve the profile, or there is nothing to fill it from.
        """
        wanted = decode_reindex(message)
        index = self._parts.index_of(wanted.hash)
        ours = [other.collection for other in self._parts.indexes.values()]
        source = wanted.source or next((name for name in ours if name != index.collection), None)
        if source is None or source == index.collection:
            raise InvalidMessage(
                f"source: {index.collection} is to be filled from another collection: name one, or have the workers "
                "serve several profiles (LOOKALIKE_HASH)"
            )
        job = Reindex(
            index,
            MilvusSource(self._parts.milvus, self._parts.settings, source),
            self._parts.publisher,
            self._parts.jobs,
            name=f"reindex:{index.collection}:{source}",
            when="indexed" if source in ours else "absent",
        )
        return job(profile=wanted.hash, source=source)

    def backfill(self, message: dict[str, Any]) -> BackfillResult:
        """Answer `lookalike.backfill`: a part of a backfill."""
        parts = self._parts
        return Backfill(parts.objects, parts.publisher, parts.jobs, parts.settings.mapper)(decode_backfill(message))

    def _auditing(self, name: str | None) -> Auditing:
        parts = self._parts
        index = parts.index_of(name)
        return Auditing(parts.objects, index, parts.settings.mapper, profile=index.profile.name)

    def objects(self, message: dict[str, Any]) -> ObjectsResult:
        """Answer `lookalike.objects`: a page of the bucket."""
        return self._auditing(None).objects(decode_objects(message))

    def rows(self, message: dict[str, Any]) -> RowsResult:
        """Answer `lookalike.rows`: a page of a collection."""
        which = decode_rows(message)
        return self._auditing(which.hash).rows(which)

    def inspect(self, message: dict[str, Any]) -> InspectResult:
        """Answer `lookalike.inspect`: a closer look at some objects."""
        wanted = decode_inspect(message)
        return self._auditing(wanted.hash).inspect(wanted)

    def duplicates(self, message: dict[str, Any]) -> DuplicatesResult:
        """Answer `lookalike.duplicates`: one step, or one page.

        Raises:
            InvalidMessage: this worker does not serve the profile, or the page is of another job.
        """
        wanted = decode_duplicates(message)
        index = self._parts.index_of(wanted.hash)
        connection = self._parts.ledger.connection
        estimate = self._chances[index.profile.name].of
        job = Duplicates(
            index,
            RedisJobState(connection),
            index.profile,
            Decisions(connection).of,
            lambda company_id, chance: estimate(company_id).typical_distance(chance),
        )
        return job(wanted)

    def evaluate(self, message: dict[str, Any]) -> EvaluationResult:
        """Answer `lookalike.evaluate`: a part of an evaluation."""
        wanted = decode_evaluate(message)
        job = Evaluation(
            self._parts.objects,
            self._parts.index_of(None),
            self._parts.jobs,
            object_seconds=self._parts.settings.object_seconds,
            now=time.monotonic,
        )
        return job(wanted)

    def _answer(self, name: str, queries: Sequence[Query], options: SearchOptions) -> list[list[Match]]:
        begun = time.monotonic()
        with metrics.SEARCH.time(), tracing.span("search", attributes={"queries": len(queries)}):
            results = self._searches[name](queries, options)
        milliseconds = round((time.monotonic() - begun) * 1000, 1)
        metrics.QUERIES.inc(len(queries))
        log.info("search_answered", queries=len(queries), matches=sum(map(len, results)), milliseconds=milliseconds)
        return results

    def warm(self, stopping: threading.Event) -> None:
        """Begin to search: the first caller finds a connection and an open collection."""
        index = self._parts.index_of(None)
        nothing = bytes(index.profile.bytes)
        warm(partial(index.search, [nothing], Scope(0), 1), stopping)

    def stats(self) -> dict[str, dict[str, int]]:
        """Answer `lookalike.stats`."""
        return {"collections": dict(self._parts.index_of(None).counts())}
