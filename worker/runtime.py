"""The worker's parts, put together: one set for each process."""

import faulthandler
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any, Final

import structlog

from contract import (
    DeleteResult,
    EvaluationResult,
    IngestResult,
    InvalidMessage,
    Match,
    MembersResult,
    Profile,
    Query,
    Reason,
    ReindexResult,
    SearchManyResult,
    SearchOptions,
    SearchResult,
    ServiceUnavailable,
    decode_delete,
    decode_evaluate,
    decode_members,
    decode_reindex,
    decode_search,
    decode_search_many,
)
from contract.duplicates import DuplicatesResult, decode_duplicates
from contract.thumbnails import ThumbnailsResult, decode_thumbnails
from producer.consumption import Consumption
from producer.decisions import Decisions
from producer.fuses import BlownFuse, Fuses
from producer.ledger import Ledger
from producer.publisher import Publisher
from worker.adapters.claims import RedisClaims
from worker.adapters.job_state import RedisJobState
from worker.adapters.jobs import RedisJobs
from worker.adapters.milvus import MilvusConnection, MilvusIndex, MilvusSource, ProfiledIndex
from worker.adapters.oss import OssObjectStore
from worker.core import hashing
from worker.core.chance import Estimate
from worker.core.fingerprinting import Fingerprinter, orientations
from worker.core.outcomes import RetryPolicy
from worker.core.pictures import limit_pixels
from worker.logs import without_secrets
from worker.ports import Scope
from worker.services.batches import Batches
from worker.services.chances import Chances
from worker.services.deaths import Deaths
from worker.services.decoders import Decoders
from worker.services.duplicates import Duplicates
from worker.services.evaluation import Evaluation
from worker.services.fuse import Blown, Fuse, FuseRules
from worker.services.guards import GuardedIndex, GuardedObjects
from worker.services.helpers import Helpers
from worker.services.ingest import Budget, Ingest
from worker.services.leases import Leases
from worker.services.queries import Queries
from worker.services.reindexing import Reindex
from worker.services.removal import Removal
from worker.services.room import Room
from worker.services.search import Search
from worker.services.sweeper import Sweeper
from worker.services.thumbnails import Thumbnails
from worker.services.verification import Verification
from worker.services.warming import warm
from worker.services.writer import GroupWriter
from worker.settings import WorkerSettings

log = structlog.get_logger(__name__)

# A process that did not run for two leases and so long has lost its batches to others.
_FROZEN_SECONDS: Final = 30.0
# pymilvus tries again until its timeout, and may begin its last try just before.
_CALL_TIMEOUTS: Final = 2
# A delete's lock is long enough for its read and one write at their slowest: 120 s with the default timeout.
_LOCK_CALLS: Final = 2
# Callers wait for 30 s unless they say otherwise.
_THUMBNAILS_SECONDS: Final = 20.0
# A share of the pixels that are decoded at once: what a camera makes, so that larger pictures have fewer beside them.
# By which a second look is taken, the first of them that the worker serves.
_SECOND_LOOK: Final = ("pdq.upright", "pdq")
_PIXELS_EACH: Final = 32_000_000


class Runtime:
    """Builds each part when it is first used, which is after the fork in a pool of processes.

    Neither oss2's connections nor gRPC's survive a fork, so a runtime belongs to the process that made it.
    """

    def __init__(
        self, settings: WorkerSettings, make_publisher: Callable[[Ledger], Publisher], consumption: Consumption
    ) -> None:
        self.settings = settings
        self._make_publisher = make_publisher
        self._consumption = consumption
        self._stopping = threading.Event()
        limit_pixels(settings.max_image_pixels)
        self._fingerprint = _fingerprinter(settings, settings.profiles)

    def close(self) -> None:
        """Close every connection that was opened."""
        if "leases" in self.__dict__:
            faulthandler.cancel_dump_traceback_later()
        for name in ("fuse", "leases", "helpers", "objects", "milvus", "ledger"):
            if name in self.__dict__:
                self.__dict__.pop(name).close()

    def stop(self) -> None:
        """Begin nothing more. What has not ended after `shutdown_seconds` goes back to the ledger; the process ends.

        Threads cannot be stopped from outside, so this is the only end of one that hangs.
        """
        self._stopping.set()
        if "leases" in self.__dict__:
            timer = threading.Timer(self.settings.shutdown_seconds, self._give_up)
            timer.daemon = True
            timer.start()

    def _give_up(self) -> None:
        batches = self.leases.let_go()
        log.error("shutdown_given_up", batches=batches, seconds=self.settings.shutdown_seconds)
        os._exit(1)

    @cached_property
    def policy(self) -> RetryPolicy:
        """When to try again."""
        return RetryPolicy(attempts=self.settings.retry_attempts, cap=self.settings.retry_cap_seconds)

    @cached_property
    def objects(self) -> OssObjectStore:
        """The bucket."""
        return OssObjectStore.from_settings(self.settings)

    @cached_property
    def milvus(self) -> MilvusConnection:
        """The connection to Milvus."""
        return MilvusConnection(self.settings)

    @cached_property
    def indexes(self) -> Mapping[str, MilvusIndex]:
        """The collection of each profile, by the profile's name."""
        return {profile.name: MilvusIndex(self.milvus, self.settings, profile) for profile in self.settings.profiles}

    @cached_property
    def index(self) -> ProfiledIndex:
        """The collections of all profiles, as one."""
        return ProfiledIndex(list(self.indexes.values()))

    def index_of(self, name: str | None) -> MilvusIndex:
        """The collection of a profile; of the first one where none is named.

        Raises:
            InvalidMessage: this worker does not serve the profile.
        """
        served = self.settings.hash
        if (name or served[0]) not in self.indexes:
            raise InvalidMessage(f"hash: the workers serve {', '.join(served)} (LOOKALIKE_HASH), not {name}")
        return self.indexes[name or served[0]]

    @cached_property
    def claims(self) -> RedisClaims:
        """The claims on the pictures."""
        return RedisClaims(
            self.ledger.connection,
            collection=self.settings.collection,
            lock_seconds=_LOCK_CALLS * _CALL_TIMEOUTS * self.settings.milvus_timeout,
        )

    @cached_property
    def jobs(self) -> RedisJobs:
        """The checkpoints of long jobs."""
        return RedisJobs(self.ledger.connection)

    @cached_property
    def removal(self) -> Removal:
        """Deletes rows."""
        return Removal(self.guarded_index, self.claims, delete_seconds=_CALL_TIMEOUTS * self.settings.milvus_timeout)

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger."""
        return Ledger.from_url(
            self.settings.ledger_url,
            dead_letters_max=self.settings.dead_letters_max,
            overdue_seconds=self.settings.overdue_seconds,
        )

    @cached_property
    def leases(self) -> Leases:
        """The sign of life for the batches at hand."""
        settings = self.settings
        return Leases(
            self.ledger,
            seconds=settings.lease_seconds,
            longest=settings.batch_seconds + settings.object_seconds + settings.write_seconds,
            now=time.time,
            hanging=self.decoders.hanging,
            on_hang=self._hangs,
            on_round=self._runs,
        )

    def _hangs(self, batch_id: str) -> None:
        """End the process in good order: the thread that hangs will never be of use again."""
        self.deaths(batch_id, Reason.TIMEOUT)
        os.kill(os.getpid(), signal.SIGTERM)

    def _runs(self) -> None:
        """Have the process end when no thread of it runs any more, as when C code hangs that holds Python's lock."""
        faulthandler.dump_traceback_later(2 * self.settings.lease_seconds + _FROZEN_SECONDS, exit=True)

    @cached_property
    def deaths(self) -> Deaths:
        """What is done about workers that die."""
        return Deaths(self.ledger, self.publisher, now=time.time)

    @cached_property
    def decoders(self) -> Decoders:
        """From bytes to hashes, for uploads."""
        settings = self.settings
        at_once = settings.decoders or os.cpu_count() or 1
        return Decoders(
            self._fingerprint,
            hashing.count_pixels,
            at_once=at_once,
            pixels=settings.pixels_at_once or at_once * _PIXELS_EACH,
            seconds=settings.decode_seconds,
        )

    @cached_property
    def helpers(self) -> Helpers:
        """Who join in the work on a batch."""
        return Helpers(self.settings.events_at_once)

    @cached_property
    def publisher(self) -> Publisher:
        """Publishes retries, and what was lost."""
        return self._make_publisher(self.ledger)

    @cached_property
    def fuse(self) -> Fuse:
        """Stops this worker's uploads and deletions where none can succeed."""
        settings = self.settings
        fuse = Fuse(
            self._consumption,
            probe=self._probe,
            report=self._report,
            rules=FuseRules(
                events=settings.fuse_events,
                dead_share=settings.fuse_dead_share,
                rest=settings.fuse_rest_seconds,
                probe=settings.fuse_probe_seconds,
            ),
            now=time.time,
        )
        fuse.start()
        return fuse

    def inherit(self) -> None:
        """Begin in a pool of processes, where others were before."""
        self.fuse.inherit()

    @cached_property
    def guarded_objects(self) -> GuardedObjects:
        """The bucket, behind the fuse."""
        return GuardedObjects(self.objects, self.fuse)

    @cached_property
    def guarded_index(self) -> GuardedIndex:
        """The collection, behind the fuse."""
        return GuardedIndex(self.index, self.fuse)

    def _probe(self) -> None:
        self.guarded_objects.probe()
        self.index.lookup({0: 0})

    def _report(self, blown: Blown | None) -> None:
        fuses, worker = Fuses(self.ledger.connection), self._consumption.worker
        if blown is None:
            fuses.clear(worker)
            return
        since = datetime.fromtimestamp(blown.since, UTC).isoformat(timespec="milliseconds")
        fuses.show(BlownFuse(worker, blown.cause, without_secrets(blown.why), since), time.time())

    @cached_property
    def batches(self) -> Batches:
        """Ingest, from delivery to settlement."""
        settings = self.settings
        ingest = Ingest(
            self.guarded_objects,
            self.guarded_index,
            self.claims,
            GroupWriter(self.guarded_index, max_rows=settings.write_rows),
            self.decoders,
            profiles=settings.hash,
            removal=self.removal,
            helpers=self.helpers,
            room=Room(self.settings.bytes_in_flight),
            policy=self.policy,
            budget=Budget(settings.batch_seconds, settings.object_seconds, settings.write_seconds),
            stopping=self._stopping.is_set,
        )
        return Batches(
            self.ledger,
            self.publisher,
            self.fuse.watching(ingest),
            wait_when_full=settings.retry_cap_seconds,
            leases=self.leases,
            now=time.time,
        )

    @cached_property
    def searches(self) -> Mapping[str, Search]:
        """Search by each profile, by the profile's name."""
        return {profile.name: self._make_search(profile) for profile in self.settings.profiles}

    def _make_search(self, profile: Profile) -> Search:
        settings, index = self.settings, self.index_of(profile.name)
        second = next((self.indexes[name] for name in _SECOND_LOOK if name in self.indexes), None)
        return Search(
            index,
            Queries(
                self.objects,
                index,
                _fingerprinter(settings, [profile]),
                profile=profile,
                max_image_bytes=settings.max_image_bytes,
                object_seconds=settings.object_seconds,
            ),
            Chances(index, lambda sample: Estimate.of(profile, sample.vectors, sample.total)).of,
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

    def ingest(self, batch_id: str, message: dict[str, Any]) -> IngestResult:
        """Answer `lookalike.ingest`.

        Raises:
            ServiceUnavailable: this process is stopping; another is to have the message.
        """
        if self._stopping.is_set():
            raise ServiceUnavailable("this worker is stopping")
        return self.batches(batch_id, message)

    def delete(self, message: dict[str, Any]) -> DeleteResult:
        """Answer `lookalike.delete`."""
        items = decode_delete(message)
        deleted = self.removal(items)
        log.info("rows_deleted", items=len(items), deleted=deleted)
        return {"deleted": deleted}

    def search(self, message: dict[str, Any]) -> SearchResult:
        """Answer `lookalike.search`."""
        query, options = decode_search(message)
        name = self.index_of(options.hash).profile.name
        return {"hash": name, "matches": self._answer(name, [query], options)[0]}

    def search_many(self, message: dict[str, Any]) -> SearchManyResult:
        """Answer `lookalike.search_many`."""
        queries, options = decode_search_many(message)
        name = self.index_of(options.hash).profile.name
        return {"hash": name, "results": self._answer(name, queries, options)}

    def members(self, message: dict[str, Any]) -> MembersResult:
        """Answer `lookalike.members`."""
        which = decode_members(message)
        return self.searches[self.index_of(which.hash).profile.name].members(which)

    def thumbnails(self, message: dict[str, Any]) -> ThumbnailsResult:
        """Answer `lookalike.thumbnails`."""
        settings = self.settings
        make = Thumbnails(
            self.objects,
            self.index,
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
        index = self.index_of(wanted.hash)
        ours = [other.collection for other in self.indexes.values()]
        source = wanted.source or next((name for name in ours if name != index.collection), None)
        if source is None or source == index.collection:
            raise InvalidMessage(
                f"source: {index.collection} is to be filled from another collection: name one, or have the workers "
                "serve several profiles (LOOKALIKE_HASH)"
            )
        job = Reindex(
            index,
            MilvusSource(self.milvus, self.settings, source),
            self.publisher,
            self.jobs,
            name=f"reindex:{index.collection}:{source}",
            when="indexed" if source in ours else "absent",
        )
        return job(profile=wanted.hash, source=source)

    def duplicates(self, message: dict[str, Any]) -> DuplicatesResult:
        """Answer `lookalike.duplicates`: one step, or one page.

        Raises:
            InvalidMessage: this worker does not serve the profile, or the page is of another job.
        """
        wanted = decode_duplicates(message)
        index = self.index_of(wanted.hash)
        connection = self.ledger.connection
        chances = Chances(index, lambda sample: Estimate.of(index.profile, sample.vectors, sample.total))
        job = Duplicates(
            index,
            RedisJobState(connection),
            index.profile,
            Decisions(connection).of,
            lambda company_id, chance: chances.of(company_id).typical_distance(chance),
        )
        return job(wanted)

    def evaluate(self, message: dict[str, Any]) -> EvaluationResult:
        """Answer `lookalike.evaluate`: a part of an evaluation."""
        wanted = decode_evaluate(message)
        settings = self.settings
        job = Evaluation(
            self.objects, self.index_of(None), self.jobs, object_seconds=settings.object_seconds, now=time.monotonic
        )
        return job(wanted)

    def _answer(self, name: str, queries: Sequence[Query], options: SearchOptions) -> list[list[Match]]:
        begun = time.monotonic()
        results = self.searches[name](queries, options)
        milliseconds = round((time.monotonic() - begun) * 1000, 1)
        log.info("search_answered", queries=len(queries), matches=sum(map(len, results)), milliseconds=milliseconds)
        return results

    def warm(self) -> None:
        """Begin to search: the first caller finds a connection and an open collection."""
        index = self.index_of(None)
        nothing = bytes(index.profile.bytes)
        warm(partial(index.search, [nothing], Scope(0), 1), self._stopping)

    def sweep(self) -> int:
        """Answer `lookalike.sweep`."""
        return Sweeper(self.ledger, self.publisher, now=time.time)()

    def stats(self) -> dict[str, dict[str, int]]:
        """Answer `lookalike.stats`."""
        return {"collections": dict(self.index_of(None).counts())}


def _fingerprinter(settings: WorkerSettings, profiles: Sequence[Profile]) -> Fingerprinter:
    """The way from bytes to hashes: the fast one where it is wanted. The log says where it cannot be had or trusted."""
    fast = settings.fast_hash == "auto"
    if fast and (fault := hashing.fast_path_fault()) is not None:
        log.warning("fast_hash_off", reason=fault)
    return Fingerprinter(profiles, fast=fast)
