"""What a worker does, put together: one set for each process."""

import faulthandler
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

import structlog

from contract import (
    DeleteResult,
    IngestResult,
    Reason,
    ServiceUnavailable,
    decode_delete,
)
from producer.consumption import Consumption
from producer.fuses import BlownFuse, Fuses
from producer.ledger import Ledger
from producer.logs import without_secrets
from producer.publisher import Publisher
from worker.adapters.claims import RedisClaims
from worker.answers import Answers
from worker.core import hashing
from worker.core.fingerprinting import Fingerprinter
from worker.core.outcomes import RetryPolicy
from worker.core.pictures import limit_pixels
from worker.parts import Parts
from worker.services.batches import Batches
from worker.services.deaths import Deaths
from worker.services.decoders import Decoders
from worker.services.fuse import Blown, Fuse, FuseRules
from worker.services.guards import GuardedIndex, GuardedObjects
from worker.services.helpers import Helpers
from worker.services.ingest import Budget, Ingest
from worker.services.leases import Leases
from worker.services.removal import Removal
from worker.services.room import Room
from worker.services.sweeper import Sweeper
from worker.services.writer import GroupWriter
from worker.settings import WorkerSettings

log = structlog.get_logger(__name__)

# A process that did not run for two leases and so long has lost its batches to others.
_FROZEN_SECONDS: Final = 30.0
# pymilvus tries again until its timeout, and may begin its last try just before.
_CALL_TIMEOUTS: Final = 2
# A delete's lock is long enough for its read and one write at their slowest: 120 s with the default timeout.
_LOCK_CALLS: Final = 2
# A share of the pixels that are decoded at once: what a camera makes, so that larger pictures have fewer beside them.
_PIXELS_EACH: Final = 32_000_000


class Runtime(Parts):
    """Indexes and deletes, and has what answers. It belongs to the process that made it."""

    def __init__(
        self, settings: WorkerSettings, make_publisher: Callable[[Ledger], Publisher], consumption: Consumption
    ) -> None:
        super().__init__(settings, make_publisher)
        self._consumption = consumption
        self._stopping = threading.Event()
        limit_pixels(settings.max_image_pixels)
        self._fingerprint = _make_fingerprinter(settings)

    def close(self) -> None:
        """Close every connection that was opened."""
        if "leases" in self.__dict__:
            faulthandler.cancel_dump_traceback_later()
        for name in ("fuse", "leases", "helpers"):
            if name in self.__dict__:
                self.__dict__.pop(name).close()
        super().close()

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
    def claims(self) -> RedisClaims:
        """The claims on the pictures."""
        return RedisClaims(
            self.ledger.connection,
            collection=self.settings.collection,
            lock_seconds=_LOCK_CALLS * _CALL_TIMEOUTS * self.settings.milvus_timeout,
        )

    @cached_property
    def removal(self) -> Removal:
        """Deletes rows."""
        return Removal(self.guarded_index, self.claims, delete_seconds=_CALL_TIMEOUTS * self.settings.milvus_timeout)

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
            mapper=settings.mapper,
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
    def answers(self) -> Answers:
        """What answers searches and jobs."""
        return Answers(self)

    def warm(self) -> None:
        """Begin to search: the first caller finds a connection and an open collection."""
        self.answers.warm(self._stopping)

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

    def sweep(self) -> int:
        """Answer `lookalike.sweep`."""
        return Sweeper(self.ledger, self.publisher, now=time.time)()


def _make_fingerprinter(settings: WorkerSettings) -> Fingerprinter:
    """The way from bytes to hashes: the fast one where it is wanted. The log says where it cannot be had or trusted."""
    fast = settings.fast_hash == "auto"
    if fast and (fault := hashing.fast_path_fault()) is not None:
        log.warning("fast_hash_off", reason=fault)
    return Fingerprinter(settings.profiles, fast=fast)
