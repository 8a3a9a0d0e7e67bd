"""The rows of one hash profile."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final

from pymilvus import MilvusClient, MilvusException

from contract import Profile
from producer import tracing
from worker.adapters.milvus.collection import Collection
from worker.adapters.milvus.connection import MilvusConnection, is_changed, is_rejected, milvus_errors
from worker.adapters.milvus.paging import LARGEST_KEY, MOST, Entity, next_page
from worker.adapters.milvus.rows import (
    GOOD,
    by_partition,
    consistency,
    of_vector,
    partition_names,
    signed,
    to_hits,
    unlike,
    unsigned,
    vector_of,
    where,
)
from worker.core.errors import CollectionMissing, RowsRejected
from worker.core.fingerprints import Hash, vector_key
from worker.core.provenance import Provenance, made_here
from worker.core.schema import METRIC, VECTOR_FIELD, VECTOR_KEY_FIELD
from worker.ports import Hit, Row, Sample, Scope
from worker.settings import WorkerSettings

_SCALARS: Final = ["id", "meta_id", "company_id", "object_key", "content_crc", "indexed_at", "width", "height"]
_ROW_FIELDS: Final = [*_SCALARS, VECTOR_FIELD, "quality"]
# In the order of a `Hit`.
_HIT_FIELDS: Final = ["meta_id", "company_id", "object_key", "quality", "indexed_at", VECTOR_KEY_FIELD]


class MilvusIndex:
    """The collection of one hash profile.

    The first write makes it where it is missing. Reads by primary key find nothing there; searches say that it is
    missing, unless there is no collection of ours at all. Searches read with Bounded staleness unless `fresh`, which is
    Strong: "Consistency Level" in the Milvus documentation.
    """

    def __init__(
        self,
        connection: MilvusConnection,
        settings: WorkerSettings,
        profile: Profile,
        made: Callable[[], Provenance] | None = None,
    ) -> None:
        """Use a collection; nothing connects yet.

        Args:
            connection: to Milvus.
            settings: of the collection, should it be made.
            profile: of its vectors.
            made: says what the vectors of this worker are: a collection with others is refused. It is asked when the
                collection is first used; `made_here` unless given.
        """
        self.profile: Final = profile
        self._settings = settings
        self._collection = Collection(
            connection, settings, profile, made or partial(made_here, profile, settings.partitions)
        )

    @property
    def collection(self) -> str:
        """The collection's name."""
        return self._collection.name

    def lookup(self, keys: Mapping[int, int], *, fresh: bool = False) -> Mapping[int, Row]:
        """Read rows by primary key. `keys` maps each id to its company; ids that are not there are left out."""
        if not keys:
            return {}
        try:
            with self._ready() as (client, partitions):
                found = client.get(
                    self.collection,
                    ids=list(keys),
                    output_fields=_ROW_FIELDS,
                    partition_names=partition_names(partitions, keys.values()),
                    consistency_level=consistency(fresh),
                    **self._call(),
                )
        except CollectionMissing:
            return {}
        return {row["id"]: self._to_row(row) for row in found}

    def upsert(self, rows: Sequence[Row]) -> None:
        """Write rows, each id once: one call for each tenant partition. Hashes of other profiles are left out."""
        entities = {row: self._to_entity(row) for row in rows}
        with self._ready(make=True) as (client, partitions):
            for partition, group in by_partition(partitions, {row: row.company_id for row in rows}).items():
                with self._rejections():
                    client.upsert(
                        self.collection,
                        [entities[row] for row in group],
                        partition_name=partition,
                        **self._call(),
                    )

    def delete(self, keys: Mapping[int, int]) -> None:
        """Delete rows by primary key, given with their companies."""
        with suppress(CollectionMissing), self._ready() as (client, partitions):
            for partition, ids in by_partition(partitions, keys).items():
                client.delete(self.collection, ids=ids, partition_name=partition, **self._call())

    def search(
        self, vectors: Sequence[bytes], scope: Scope, limit: int, without: Iterable[int] = ()
    ) -> Sequence[Sequence[Hit]]:
        """Find the rows nearest to each vector, in one call, but for those of some vectors, given by their keys.

        Milvus' range is `distance < radius`, so the largest distance that matches is `radius` less one.
        """
        parameters: dict[str, Any] = {"nprobe": self._settings.search_nprobe}
        if scope.max_distance is not None:
            parameters["radius"] = scope.max_distance + 1
        try:
            with self._ready() as (client, partitions):
                found = client.search(
                    self.collection,
                    data=list(vectors),
                    anns_field=VECTOR_FIELD,
                    limit=limit,
                    output_fields=_HIT_FIELDS,
                    search_params={"metric_type": METRIC, "params": parameters},
                    **_of_tenant(partitions, scope.company_id, _good(scope), unlike(without)),
                    consistency_level=consistency(scope.fresh),
                    **self._call(),
                )
        except CollectionMissing:
            self._require_nothing_indexed()
            return [[] for _ in vectors]
        return [to_hits(hits) for hits in found]

    def of_vector(self, scope: Scope, vector_key: int, after: int, limit: int) -> list[Hit]:
        """Read the rows of one vector, given by its key, as `scan` does. How far it is does not matter.

        The vector itself is not read: of ten thousand rows, pymilvus would take most of the time to unpack it.
        """
        only = _of_vector(scope, vector_key)
        found = self._scan(scope.company_id, after, limit, *only, fields=["id", *_HIT_FIELDS], fresh=scope.fresh)
        return [Hit(0, one["id"], *(one[name] for name in _HIT_FIELDS)) for one in found]

    def count_of_vector(self, scope: Scope, vector_key: int) -> int:
        """Count the rows of one vector, given by its key."""
        return self._count(scope.company_id, *_of_vector(scope, vector_key), fresh=scope.fresh)

    def scan(self, company_id: int | None, after: int, limit: int) -> list[Row]:
        """Read the rows of one tenant or (None) all in the order of their primary keys.

        Args:
            company_id: the tenant.
            after: only rows of larger primary keys; -1 begins.
            limit: of rows, 1 to 16,384.

        Returns:
            The next `limit` rows; fewer only where there are no more.
        """
        return [self._to_row(one) for one in self._scan(company_id, after, limit, fields=_ROW_FIELDS, fresh=True)]

    def _scan(
        self, company_id: int | None, after: int, limit: int, *only: str, fields: Sequence[str], fresh: bool
    ) -> list[Entity]:
        try:
            return next_page(
                lambda within: self._count(company_id, *only, within, fresh=fresh),
                lambda within: self._read(company_id, *only, within, fields=fields, fresh=fresh),
                after=after,
                limit=limit,
            )
        except CollectionMissing:
            return []

    def sample(self, company_id: int | None, most: int) -> Sample:
        """Read a sample of vectors, uniform because primary keys are: the rows with the least ones.

        Pictures of low quality are neither in it nor in the count.

        Args:
            company_id: the tenant; None: all of them.
            most: about how many vectors, up to 16,384.
        """
        total = self._count(company_id, GOOD)
        upto = LARGEST_KEY if total <= most else int(LARGEST_KEY * most / total)
        found = self._read(company_id, GOOD, f"id <= {upto:d}", fields=[VECTOR_FIELD]) if total else []
        return Sample(b"".join(vector_of(one) for one in found), total)

    def count(self, company_id: int | None) -> int:
        """Count the rows of one tenant or (None) all."""
        return self._count(company_id)

    def counts(self) -> Mapping[str, int]:
        """Count the rows of each collection of ours by `count(*)`; Milvus' statistics count deleted rows too."""
        with milvus_errors():
            client = self._collection.client()
            return {name: self._count_in(client, name, fresh=True) for name in self._collection.siblings()}

    def _require_nothing_indexed(self) -> None:
        """Say that the collection is missing, where that is not because nothing was ever indexed."""
        with milvus_errors():
            siblings = self._collection.siblings()
        if siblings:
            raise CollectionMissing(
                f"there is no collection {self.collection}, only {', '.join(siblings)}: `lookalike reindex --hash "
                f"{self.profile.name}` fills it"
            )

    def _count(self, company_id: int | None, *expressions: str, fresh: bool = False) -> int:
        try:
            with self._ready() as (client, partitions):
                return self._count_in(
                    client,
                    self.collection,
                    fresh=fresh,
                    **_of_tenant(partitions, company_id, *expressions),
                )
        except CollectionMissing:
            return 0

    def _call(self) -> dict[str, Any]:
        """What all calls have: their deadline, and the trace that they belong to, which Milvus is told."""
        trace = tracing.current()
        return {
            "timeout": self._settings.milvus_timeout,
            "client_request_id": "" if trace is None else trace.trace_id,
        }

    def _count_in(self, client: MilvusClient, name: str, *, fresh: bool, **options: Any) -> int:
        counted = client.query(
            name,
            output_fields=["count(*)"],
            consistency_level=consistency(fresh),
            **self._call(),
            **options,
        )
        return int(counted[0]["count(*)"])

    def _read(
        self, company_id: int | None, *expressions: str, fields: Sequence[str], fresh: bool = False
    ) -> Sequence[Entity]:
        """Read rows, at most 16,384 of them."""
        with self._ready() as (client, partitions):
            found: Sequence[Entity] = client.query(
                self.collection,
                output_fields=list(fields),
                limit=MOST,
                **_of_tenant(partitions, company_id, *expressions),
                consistency_level=consistency(fresh),
                **self._call(),
            )
        return found

    @contextmanager
    def _ready(self, *, make: bool = False) -> Iterator[tuple[MilvusClient, int]]:
        """Make sure of the collection, and turn what pymilvus raises into our own errors."""
        with milvus_errors():
            try:
                yield self._collection.ready(make=make)
            except MilvusException as error:
                if is_changed(error):
                    self._collection.forget()  # the next call makes sure of it again
                raise

    @contextmanager
    def _rejections(self) -> Iterator[None]:
        """Tell rows that are refused from a collection that was replaced by one which would refuse any."""
        try:
            yield
        except MilvusException as error:
            if not is_rejected(error):
                raise
            self._collection.forget()
            self._collection.ready(make=True)
            raise RowsRejected(f"Milvus refuses: {error.message}") from error

    def _to_entity(self, row: Row) -> dict[str, Any]:
        """A row as Milvus takes it.

        Vectors of another length are refused here: Milvus counts their bytes together, and takes two whose errors
        cancel.
        """
        hashed = next((one for one in row.hashes if one.profile == self.profile.name), None)
        if hashed is None or len(hashed.vector) != self.profile.bytes:
            bits = None if hashed is None else len(hashed.vector) * 8
            raise RowsRejected(f"a vector has {bits} bits, not {self.profile.bits}")
        return {
            **{name: getattr(row, name) for name in _SCALARS},
            "content_crc": signed(row.content_crc),
            VECTOR_FIELD: hashed.vector,
            VECTOR_KEY_FIELD: vector_key(hashed.vector),
            "quality": hashed.quality,
        }

    def _to_row(self, found: Mapping[str, Any]) -> Row:
        return Row(
            **{name: found[name] for name in _SCALARS} | {"content_crc": unsigned(found["content_crc"])},
            hashes=(Hash(self.profile.name, vector_of(found), found["quality"]),),
        )


def _of_tenant(partitions: int, company_id: int | None, *expressions: str) -> dict[str, Any]:
    """Where to look for the rows of one tenant or (None) all for which some expressions hold."""
    return {
        "filter": where(company_id, *expressions),
        "partition_names": None if company_id is None else partition_names(partitions, [company_id]),
    }


def _good(scope: Scope) -> str:
    return "" if scope.low_quality else GOOD


def _of_vector(scope: Scope, key: int) -> list[str]:
    return [of_vector(key), _good(scope)]
