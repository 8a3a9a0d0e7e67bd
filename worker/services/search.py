"""Which pictures look like this one: from queries to matches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from contract import (
    InvalidMessage,
    Match,
    Member,
    MembersResult,
    Profile,
    Query,
    QueryNotFound,
    QueryRejected,
    SearchOptions,
    ServiceUnavailable,
    WhichMembers,
)
from worker.core.errors import Misconfigured, ObjectMissing, Permanent, Transient
from worker.core.fingerprints import vector_key
from worker.core.verifying import Verdict
from worker.ports import Hit, Scope, SearchableIndex
from worker.services.nearest import Found, nearest_rows, nearest_vectors
from worker.services.queries import Asked, Queries
from worker.services.verification import Verification

_T = TypeVar("_T")


class Estimate(Protocol):
    """How many unrelated pictures are expected by chance."""

    def chances(self, vector: bytes, distances: Sequence[int]) -> list[float]:
        """At each distance or nearer."""

    def max_distance(self, vector: bytes, max_chance: float) -> int | None:
        """The largest distance with no more than so many; None where there are more even at 0."""


@dataclass(frozen=True, slots=True)
class _Query:
    """A query that is being answered: what it asks for, by which vectors, and how far; None: nothing is near enough."""

    asked: Asked
    vectors: Sequence[bytes]
    max_distance: int | None
    nothing: bool


class Search:
    """Answers queries by one profile. It is shared by the threads of a process."""

    def __init__(
        self,
        index: SearchableIndex,
        queries: Queries,
        estimate: Callable[[int | None], Estimate],
        *,
        profile: Profile,
        verification: Verification | None,
        retry_seconds: float,
    ) -> None:
        """Answer queries.

        Args:
            index: the rows.
            queries: looks queries up.
            estimate: of chance, for a tenant or (None) all.
            profile: of the index.
            verification: looks again at what was found; None where the worker has no hash to do it by.
            retry_seconds: in which transient failures are tried again.
        """
        self._index = index
        self._queries = queries
        self._estimate = estimate
        self._profile = profile
        self._verification = verification
        self._retry_seconds = retry_seconds

    def __call__(self, queries: Sequence[Query], options: SearchOptions) -> list[list[Match]]:
        """Find the matches of each query: nearest first, equal distances by id.

        Raises:
            InvalidMessage: a vector of another length, a `meta_id` without its company, a distance that no two vectors
                have, or a second look that cannot be had.
            QueryNotFound: an object or a row that a query names does not exist.
            QueryRejected: a query's picture cannot be hashed.
            ServiceUnavailable: OSS or Milvus failed for longer than a search waits.
        """
        if options.max_distance is not None and options.max_distance > self._profile.bits:
            raise InvalidMessage(
                f"max_distance: {self._profile.name} has {self._profile.bits} bits, {options.max_distance} are too many"
            )
        if options.verify and self._verification is None:
            raise InvalidMessage("verify: the workers need pdq.upright or pdq among their profiles (LOOKALIKE_HASH)")
        return self._patiently(lambda: self._search(queries, options))

    def members(self, which: WhichMembers) -> MembersResult:
        """Read a page of the pictures that have the same vector as one of them.

        Raises:
            QueryNotFound: there is no such picture.
            ServiceUnavailable: as above.
        """
        return self._patiently(lambda: self._members(which))

    def _patiently(self, work: Callable[[], _T]) -> _T:
        retrying = Retrying(
            retry=retry_if_exception(
                lambda error: isinstance(error, Transient) and not isinstance(error, ObjectMissing)
            ),
            stop=stop_after_delay(self._retry_seconds),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            reraise=True,
        )
        try:
            return retrying(work)
        except ObjectMissing as error:
            raise QueryNotFound(str(error)) from error
        except Permanent as error:
            raise QueryRejected(str(error)) from error
        except (Transient, Misconfigured) as error:
            raise ServiceUnavailable(str(error)) from error

    def _search(self, queries: Sequence[Query], options: SearchOptions) -> list[list[Match]]:
        scope = Scope(
            None if options.all_companies else options.company_id,
            low_quality=options.low_quality,
            max_distance=options.max_distance,
            fresh=options.fresh,
        )
        estimate = self._estimate(scope.company_id)
        wanted = [self._wanted(asked, options, estimate) for asked in self._queries(queries, options)]
        searched = [query for query in wanted if not query.nothing]
        if options.max_chance is not None and searched:
            scope = scope._replace(max_distance=max(query.max_distance or 0 for query in searched))
        vectors = [vector for query in searched for vector in query.vectors]
        found = iter(self._find(vectors, scope, options) if vectors else [])
        return [
            [] if query.nothing else self._matches(query, [next(found) for _ in query.vectors], options, estimate)
            for query in wanted
        ]

    def _wanted(self, asked: Asked, options: SearchOptions, estimate: Estimate) -> _Query:
        vectors = self._verification.vectors(asked) if options.verify and self._verification else [asked.vector]
        if options.max_chance is None:
            return _Query(asked, vectors, options.max_distance, nothing=False)
        furthest = estimate.max_distance(asked.vector, options.max_chance)
        return _Query(asked, vectors, furthest, nothing=furthest is None)

    def _find(self, vectors: Sequence[bytes], scope: Scope, options: SearchOptions) -> list[list[Found]]:
        if options.collapse:
            return nearest_vectors(self._index, vectors, scope, options.limit, options.members)
        rows = nearest_rows(self._index, vectors, scope, options.limit)
        return [[Found(hit, 1, [hit][: options.members]) for hit in hits] for hits in rows]

    def _matches(
        self, query: _Query, found: Sequence[Sequence[Found]], options: SearchOptions, estimate: Estimate
    ) -> list[Match]:
        """The matches of a query, of what was found for its vectors: of several vectors the nearest counts."""
        nearest: dict[int, Found] = {}
        for one in (one for ones in found for one in ones):
            known = nearest.get(one.hit.id)
            if known is None or one.hit.distance < known.hit.distance:
                nearest[one.hit.id] = one
        ordered = sorted(nearest.values(), key=lambda one: (one.hit.distance, one.hit.id))
        near = [one for one in ordered if query.max_distance is None or one.hit.distance <= query.max_distance]
        chosen = near[: options.limit]
        chances = estimate.chances(query.asked.vector, [one.hit.distance for one in chosen])
        matches = [_match(one, chance) for one, chance in zip(chosen, chances, strict=True)]
        if not (options.verify and self._verification):
            return matches
        verdicts = self._verification(query.asked, [one.hit for one in chosen], fresh=options.fresh)
        return [_verified(match, verdict) for match, verdict in zip(matches, verdicts, strict=True)]

    def _members(self, which: WhichMembers) -> MembersResult:
        row = self._queries.stored(which.meta_id, which.company_id)
        scope = Scope(None if which.all_companies else which.company_id, low_quality=which.low_quality)
        rows = self._index.of_vector(scope, vector_key(row.vector), which.after, which.limit)
        return MembersResult(
            hash=self._profile.name,
            members=[_member(one) for one in rows],
            next=rows[-1].id if len(rows) == which.limit else None,
        )


def _match(found: Found, chance: float) -> Match:
    hit = found.hit
    return Match(
        id=hit.id,
        meta_id=hit.meta_id,
        company_id=hit.company_id,
        distance=hit.distance,
        object_key=hit.object_key,
        quality=hit.quality,
        chance=chance,
        count=found.count,
        members=[_member(member) for member in found.members],
    )


def _member(one: Hit) -> Member:
    return Member(id=one.id, meta_id=one.meta_id, company_id=one.company_id, object_key=one.object_key)


def _verified(match: Match, verdict: Verdict) -> Match:
    return Match(**match, kind=verdict.kind, verified_distance=verdict.distance, orientation=verdict.orientation)
