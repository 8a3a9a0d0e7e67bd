"""Which pictures look like this one: from queries to matches."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from contract import (
    InvalidMessage,
    Match,
    Query,
    QueryNotFound,
    QueryRejected,
    SearchOptions,
    ServiceUnavailable,
    row_id,
)
from worker.core.errors import Misconfigured, ObjectMissing, Permanent, TooLarge, Transient
from worker.ports import Hit, ObjectStore, SearchableIndex

# Milvus returns at most so many rows for a query: "Milvus Limits", topK.
_MOST: Final = 16_384
# Rows asked for beyond the limit, so that most ties at the limit are seen whole in the first call.
_SPARE: Final = 50
_GROW: Final = 4


class Search:
    """Answers queries. It is shared by the threads of a process."""

    def __init__(
        self,
        objects: ObjectStore,
        index: SearchableIndex,
        create_vector: Callable[[bytes], bytes],
        *,
        bits: int,
        max_image_bytes: int,
        object_seconds: float,
        retry_seconds: float,
    ) -> None:
        self._objects = objects
        self._index = index
        self._create_vector = create_vector
        self._bytes = bits // 8
        self._max_image_bytes = max_image_bytes
        self._object_seconds = object_seconds
        self._retry_seconds = retry_seconds

    def __call__(self, queries: Sequence[Query], options: SearchOptions) -> list[list[Match]]:
        """Find the matches of each query: nearest first, equal distances by id.

        Raises:
            InvalidMessage: a vector of another length, or a `meta_id` without its company.
            QueryNotFound: an object or a row that a query names does not exist.
            QueryRejected: a query's picture cannot be hashed.
            ServiceUnavailable: OSS or Milvus failed for longer than a search waits.
        """
        retrying = Retrying(
            retry=retry_if_exception(
                lambda error: isinstance(error, Transient) and not isinstance(error, ObjectMissing)
            ),
            stop=stop_after_delay(self._retry_seconds),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            reraise=True,
        )
        try:
            return retrying(self._search, queries, options)
        except ObjectMissing as error:
            raise QueryNotFound(str(error)) from error
        except Permanent as error:
            raise QueryRejected(str(error)) from error
        except (Transient, Misconfigured) as error:
            raise ServiceUnavailable(str(error)) from error

    def _search(self, queries: Sequence[Query], options: SearchOptions) -> list[list[Match]]:
        vectors = [self._vector(query, options) for query in queries]
        return [[_match(hit) for hit in hits] for hits in self._nearest(vectors, options)]

    def _vector(self, query: Query, options: SearchOptions) -> bytes:
        if query.vector is not None:
            if len(query.vector) != self._bytes:
                raise InvalidMessage(f"query.vector: {self._bytes} bytes are needed, not {len(query.vector)}")
            return query.vector
        if query.image is not None:
            if len(query.image) > self._max_image_bytes:
                raise TooLarge(f"query.image: {len(query.image):,} bytes, {self._max_image_bytes:,} are admitted")
            return self._create_vector(query.image)
        if query.object_key is not None:
            try:
                download = self._objects.get(query.object_key, time.monotonic() + self._object_seconds)
                return self._create_vector(download.body)
            except (Transient, Permanent, Misconfigured) as error:
                raise type(error)(f"{query.object_key}: {error}") from error
        return self._stored_vector(query.meta_id, options)

    def _stored_vector(self, meta_id: int | None, options: SearchOptions) -> bytes:
        if meta_id is None or options.company_id is None:
            raise InvalidMessage("query.meta_id: a picture is known by its meta_id and its company_id")
        id_ = row_id(options.company_id, meta_id)
        row = self._index.lookup({id_: options.company_id}, fresh=options.fresh).get(id_)
        if row is None or (row.company_id, row.meta_id) != (options.company_id, meta_id):
            raise QueryNotFound(f"no picture with meta_id {meta_id} of company_id {options.company_id} is indexed")
        return row.vector

    def _nearest(self, vectors: Sequence[bytes], options: SearchOptions) -> list[list[Hit]]:
        """Search all vectors in one call.

        Milvus cuts off anywhere within rows of equal distance. Where the limit falls among such, the query is asked
        again for more, until the next distance is in sight: so the same rows come back every time, up to Milvus' own
        limit of 16,384 rows.
        """
        nearest: dict[int, list[Hit]] = {}
        pending = dict(enumerate(vectors))
        most = min(options.limit + _SPARE, _MOST)
        while pending:
            found = self._index.search(
                list(pending.values()),
                company_id=None if options.all_companies else options.company_id,
                limit=most,
                max_distance=options.max_distance,
                fresh=options.fresh,
            )
            for n, hits in zip(list(pending), found, strict=True):
                ordered = sorted(hits)
                if most >= _MOST or not _cut_among_ties(ordered, options.limit, most):
                    nearest[n] = ordered[: options.limit]
                    del pending[n]
            most = min(most * _GROW, _MOST)
        return [nearest[n] for n in range(len(vectors))]


def _cut_among_ties(ordered: Sequence[Hit], limit: int, asked: int) -> bool:
    """Whether rows as near as the last one within the limit may have been left out."""
    return len(ordered) == asked and ordered[-1].distance == ordered[limit - 1].distance


def _match(hit: Hit) -> Match:
    return Match(
        id=hit.id,
        meta_id=hit.meta_id,
        company_id=hit.company_id,
        distance=hit.distance,
        object_key=hit.object_key,
        quality=100,
        chance=0.0,
        count=1,
        members=[],
    )
