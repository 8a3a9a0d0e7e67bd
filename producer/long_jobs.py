"""What a client has done of long jobs: profiles filled, tenants looked through, hashes evaluated."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Unpack, cast

from contract import (
    BACKFILL,
    DUPLICATES,
    EVALUATE,
    MAX_EVENTS,
    REINDEX,
    VERSION,
    BackfillResult,
    EvaluationReport,
    EvaluationResult,
    InvalidMessage,
    ReindexResult,
    decode_reindex,
)
from contract.backfill import decode_backfill
from contract.duplicates import DuplicatesResult, Group, decode_duplicates
from producer.auditing import Audit, AuditCounts, Difference, Store, Workers
from producer.backpressure import Backpressure
from producer.calls import Calls
from producer.connections import Connections
from producer.decisions import Decisions, pairs_of
from producer.duplicates import read_groups
from producer.evaluation import EvaluateArguments, evaluate_arguments
from producer.jobs import Pace, call_patiently
from producer.ledger import Ledger
from producer.tracing import traced


class LongJobs:
    """The part of a client that drives long jobs. Each call does a part, so that they go on where they were.

    Its methods take minutes, and have no twins for async code: `asyncio.to_thread` runs them.
    """

    _backpressure: Backpressure
    _calls: Calls
    _connections: Connections

    def reindex(
        self,
        profile: str,
        *,
        source: str | None = None,
        progress: Callable[[ReindexResult], None] | None = None,
        waiting: Callable[[int], None] | None = None,
        timeout: float = 60.0,
    ) -> ReindexResult:
        """Have the pictures that are indexed already hashed by another profile, while serving goes on.

        It enqueues an event of each that the profile lacks, waiting for a backlog as `enqueue_many` does, and returns
        when all are enqueued. If it is interrupted, the same call goes on where it was, for a day.

        Args:
            profile: one of those that the workers serve (`LOOKALIKE_HASH`).
            source: the collection that says which pictures there are; the workers' first other one unless given.
            progress: told after each page how far it is.
            waiting: told again and again while it waits for a backlog, with the number of outstanding events.
            timeout: seconds to wait for one page. A service that fails is asked again for twice as long.

        Returns:
            The counts of the whole job. `enqueued` is 0 where the profile lacked nothing.
        """
        arguments = {"hash": profile, "source": source, "version": VERSION}
        decode_reindex(arguments)
        wait = self._backpressure.bounded(None, waiting)
        with traced():
            while True:
                wait.if_due(MAX_EVENTS)
                result = cast("ReindexResult", self._call(REINDEX, arguments, timeout))
                if progress is not None:
                    progress(result)
                if result["done"]:
                    return result

    def backfill(
        self,
        prefix: str = "",
        *,
        since: datetime | None = None,
        limit: int | None = None,
        rate: float | None = None,
        key_template: str | None = None,
        skip_unmapped: bool = False,
        dry_run: bool = False,
        restart: bool = False,
        progress: Callable[[BackfillResult], None] | None = None,
        waiting: Callable[[int], None] | None = None,
        timeout: float = 60.0,
    ) -> BackfillResult:
        """Have the pictures indexed that are in the bucket already.

        It waits for a backlog as `enqueue_many` does, and returns when an event of each is enqueued. If it is
        interrupted, the same call goes on where it was, for a day, and skips nothing.

        Args:
            prefix: that their keys begin with.
            since: only those written then or later.
            limit: no more events than so many.
            rate: no more events a second than so many.
            key_template: where in a key the ids of its picture stand; the workers' own (`LOOKALIKE_KEY_TEMPLATE`)
                unless given.
            skip_unmapped: only count objects whose ids are not found; otherwise each becomes a dead letter, `unmapped`.
            dry_run: enqueue nothing, only count.
            restart: begin anew, wherever an earlier call was.
            progress: told after each part, of about 2 s, how far it is.
            waiting: told again and again while it waits for a backlog, with the number of outstanding events.
            timeout: seconds to wait for one part. A service that fails is asked again for twice as long.

        Returns:
            The counts of the whole job.

        Raises:
            ServiceMisconfigured: OSS refuses the workers to list the bucket.
        """
        if rate is not None and not rate > 0:
            raise InvalidMessage(f"rate: events a second, more than 0, not {rate}")
        if since is not None and since.tzinfo is None:
            raise InvalidMessage("since: a time needs its zone")
        arguments = {
            "prefix": prefix,
            "since": None if since is None else math.floor(since.timestamp() * 1000),
            "limit": limit,
            "dry_run": dry_run,
            "key_template": key_template,
            "skip_unmapped": skip_unmapped,
            "restart": restart,
            "version": VERSION,
        }
        decode_backfill(arguments)
        wait = self._backpressure.bounded(None, waiting)
        pace = Pace(rate, self._connections.closing.wait)
        with traced():
            while True:
                if not dry_run:
                    wait.if_due(MAX_EVENTS)
                    arguments["most"] = pace.begin(max(MAX_EVENTS, wait.room()))
                result = cast("BackfillResult", self._call(BACKFILL, arguments, timeout))
                arguments["restart"] = False
                if progress is not None:
                    progress(result)
                if result["done"]:
                    return result
                if not dry_run:
                    pace.end(result["enqueued"])

    def audit(
        self,
        prefix: str = "",
        *,
        found: Callable[[Difference], None],
        profile: str | None = None,
        key_template: str | None = None,
        deep: bool = False,
        work_dir: Path | None = None,
        progress: Callable[[str, int], None] | None = None,
        timeout: float = 60.0,
    ) -> AuditCounts:
        """Compare the bucket with a collection, in constant memory.

        What differs is mended by `enqueue_many(difference.event() ...)`: an orphan's event has a worker remove the row
        if the object really is gone.

        Args:
            prefix: of the keys that are compared.
            found: told of each difference, as it is found.
            profile: of the collection; the workers' first unless given.
            key_template: where in a key the ids of its picture stand; the workers' own unless given.
            deep: ask OSS for the checksum of every object, not only where the times say that it may have changed.
            work_dir: where the rows are kept meanwhile, some 150 bytes each; the system's place for temporary files
                unless given.
            progress: told what is being read (`rows`, `objects`), and how many were.
            timeout: seconds to wait for one page. A service that fails is asked again for twice as long.

        Returns:
            The counts.

        Raises:
            NoRoom: there is no room for the rows.
        """
        workers = Workers(lambda task, asked: self._call(task, asked, timeout), prefix, profile, key_template)
        workers.check()
        with Store(work_dir) as store:
            audit = Audit(workers, store, prefix=prefix, deep=deep, progress=progress or (lambda _, __: None))
            for difference in audit.differences(_given_up(self._connections.ledger)):
                found(difference)
        return audit.counts

    def duplicates(
        self,
        company_id: int,
        *,
        max_distance: int | None = None,
        max_chance: float | None = None,
        profile: str | None = None,
        low_quality: bool = False,
        restart: bool = False,
        progress: Callable[[DuplicatesResult], None] | None = None,
        timeout: float = 60.0,
    ) -> Iterator[Group]:
        """Find all groups of a tenant's pictures that look alike.

        A group is linked by pairs that are near each other; two of its pictures may be far apart. No group holds two
        pictures that were decided to be no duplicates (`decide`). If it is interrupted, the same call goes on where it
        was, for a day, unless a decision was made meanwhile.

        Args:
            company_id: the tenant.
            max_distance: the largest Hamming distance of such a pair, in bits, inclusive.
            max_chance: in place of it: how many unrelated pictures may be expected by chance so near to one; 0.01
                where neither is given.
            profile: the hash to compare by; the workers' first unless given.
            low_quality: group blank and nearly blank pictures too.
            restart: begin anew, whatever is done already.
            progress: told after each step how far it is.
            timeout: seconds to wait for one step. A service that fails is asked again for twice as long.

        Returns:
            The groups, larger ones first, as they are read from the workers.
        """
        arguments = {
            "company_id": company_id,
            "max_distance": max_distance,
            "max_chance": max_chance,
            "hash": profile,
            "low_quality": low_quality,
            "restart": restart,
            "version": VERSION,
        }
        decode_duplicates(arguments)

        def call(arguments: Mapping[str, Any]) -> DuplicatesResult:
            return cast("DuplicatesResult", self._call(DUPLICATES, arguments, timeout))

        return read_groups(call, arguments, progress=progress)

    def decide(self, *, company_id: int, not_duplicates: Iterable[Iterable[int]]) -> list[tuple[int, int]]:
        """Record that pictures of a tenant are no duplicates of each other, for all `duplicates` to come.

        No worker is needed.

        Args:
            company_id: the tenant.
            not_duplicates: pairs of meta_ids; of a longer list, all pairs.

        Returns:
            The pairs that are recorded now, the lesser meta_id first.
        """
        return self._decisions.record(company_id, _all_pairs(not_duplicates))

    def decisions(self, company_id: int) -> list[tuple[int, int]]:
        """Read which pictures of a tenant are recorded as no duplicates of each other.

        Args:
            company_id: the tenant.

        Returns:
            Pairs of meta_ids, the lesser first, in order.
        """
        return self._decisions.of(company_id)

    def forget_decisions(self, *, company_id: int, pairs: Iterable[Iterable[int]]) -> list[tuple[int, int]]:
        """Take back what `decide` recorded.

        Args:
            company_id: the tenant.
            pairs: of meta_ids; of a longer list, all pairs.

        Returns:
            The pairs that are not recorded any more.
        """
        return self._decisions.forget(company_id, _all_pairs(pairs))

    @property
    def _decisions(self) -> Decisions:
        return Decisions(self._connections.ledger.connection)

    def evaluate(
        self,
        *,
        progress: Callable[[EvaluationResult], None] | None = None,
        timeout: float = 60.0,
        **arguments: Unpack[EvaluateArguments],
    ) -> EvaluationReport:
        """Measure how well the profiles find changed copies of your own pictures, and how often they are wrong.

        Workers read some of the pictures, change each in many ways, and hash all. If it is interrupted, the same call
        goes on where it was, for a day.

        Args:
            progress: told again and again how far it is.
            timeout: seconds to wait for one part, which takes about 2. A service that fails is asked again for twice
                as long.
            arguments: exactly one of `company_id`, the tenant whose pictures are sampled, and `keys`, objects that
                need not be indexed; and what else `contract.Evaluating` says.

        Returns:
            What was measured, and what is recommended.

        Raises:
            InvalidMessage: also where there are too few pictures that can be used.
        """
        message = evaluate_arguments(arguments)
        with traced():
            while True:
                result = cast("EvaluationResult", self._call(EVALUATE, message, timeout))
                if progress is not None:
                    progress(result)
                if result["report"] is not None:
                    return result["report"]

    def _call(self, task: str, arguments: Mapping[str, Any], timeout: float) -> object:
        """Ask for the next part of a job; of a service that fails, again for twice as long as one part may take."""
        return call_patiently(
            lambda: self._calls(task, dict(arguments), timeout=timeout),
            patience=2 * timeout,
            pause=self._connections.closing.wait,
        )


def _given_up(ledger: Ledger) -> Iterator[tuple[str, int]]:
    """The keys of dead letters, and when each was given up, in milliseconds since 1970."""
    for letter in ledger.dead_letters():
        key = letter.event.get("object_key") if isinstance(letter.event, Mapping) else None
        if isinstance(key, str):
            yield key, math.floor(datetime.fromisoformat(letter.last_seen).timestamp() * 1000)


def _all_pairs(lists: Iterable[Iterable[int]]) -> list[tuple[int, int]]:
    return [pair for meta_ids in lists for pair in pairs_of(meta_ids)]
