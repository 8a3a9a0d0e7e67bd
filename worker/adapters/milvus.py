"""Rows in Milvus, through pymilvus. The only module that imports it."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Final, TypeVar

import grpc
from pymilvus import DataType, MilvusClient, MilvusException
from pymilvus.exceptions import (
    DataNotMatchException,
    DataTypeNotMatchException,
    DataTypeNotSupportException,
    ErrorCode,
    ParamError,
)

from worker.core.errors import Misconfigured, RowsRejected, Transient
from worker.core.schema import METRIC, VECTOR_FIELD, FieldSpec, Provenance, differences, fields, partition_name
from worker.ports import Hit, Row
from worker.settings import WorkerSettings

_ROW_FIELDS: Final = ["id", "meta_id", "company_id", VECTOR_FIELD, "object_key", "content_crc", "indexed_at"]
_HIT_FIELDS: Final = ["meta_id", "company_id", "object_key"]
_CONNECT_SECONDS: Final = 10
_FAIL_FAST_SECONDS: Final = 1
_UNSIGNED: Final = 1 << 64
_SIGNED_MAX: Final = (1 << 63) - 1
_LEAST: Final = -(1 << 63)

# "auth check failure" of Milvus 2.3 comes as gRPC's UNAUTHENTICATED; 2.5 and later answer with these codes of
# pkg/util/merr (ErrNeedAuthenticate, ErrIncorrectParameterFormat are 1400 and 1401; ErrPrivilegeNotAuthenticated 1402).
_MISCONFIGURED_CODES: Final = frozenset({1400, 1401, 1402})
_MISCONFIGURED_STATUS: Final = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
# ErrParameterInvalid and ErrParameterTooLarge of pkg/util/merr, and what pymilvus finds before it sends.
_REJECTED_CODES: Final = frozenset({1100, 1102})
_REJECTED_ERRORS: Final = (
    ParamError,
    DataNotMatchException,
    DataTypeNotMatchException,
    DataTypeNotSupportException,
)
# The collection is not what it was, or may not be: ErrPartitionNotFound, and the code of all that has none of its own,
# such as a field that is gone.
_CHANGED_CODES: Final = frozenset({ErrorCode.COLLECTION_NOT_FOUND, 200, (1 << 16) - 1})

_Key = TypeVar("_Key")


class MilvusIndex:
    """The collection of one hash profile, for one process: its client must be made after a fork.

    It connects, and makes the collection where it is missing, when it is first used. Searches read with Bounded
    staleness unless `fresh`, which is Strong: "Consistency Level" in the Milvus documentation.
    """

    def __init__(self, settings: WorkerSettings, *, profile: str, bits: int) -> None:
        self._settings = settings
        self._profile = profile
        self._bits = bits
        self.collection: Final = f"{settings.collection}_{profile}".replace(".", "_")
        self._lock = threading.Lock()
        self._client: MilvusClient | None = None
        self._partitions: int | None = None
        self._failed: tuple[float, Exception] | None = None

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._client is not None:
                self._client.close()
            self._client, self._partitions = None, None

    def lookup(self, keys: Mapping[int, int], *, fresh: bool = False) -> Mapping[int, Row]:
        """Read rows by primary key. `keys` maps each id to its company; ids that are not there are left out."""
        if not keys:
            return {}
        with self._ready() as (client, partitions):
            found = client.get(
                self.collection,
                ids=list(keys),
                output_fields=_ROW_FIELDS,
                partition_names=_partition_names(partitions, keys.values()),
                consistency_level=_consistency(fresh),
                timeout=self._settings.milvus_timeout,
            )
        return {row["id"]: _to_row(row) for row in found}

    def upsert(self, rows: Sequence[Row]) -> None:
        """Write rows, each id once: one call for each tenant partition."""
        self._require_whole_vectors(rows)
        with self._ready() as (client, partitions):
            for partition, group in _by_partition(partitions, {row: row.company_id for row in rows}).items():
                with self._rejections():
                    client.upsert(
                        self.collection,
                        [asdict(row) | {"content_crc": _signed(row.content_crc)} for row in group],
                        partition_name=partition,
                        timeout=self._settings.milvus_timeout,
                    )

    def delete(self, keys: Mapping[int, int]) -> None:
        """Delete rows by primary key, given with their companies."""
        with self._ready() as (client, partitions):
            for partition, ids in _by_partition(partitions, keys).items():
                client.delete(self.collection, ids=ids, partition_name=partition, timeout=self._settings.milvus_timeout)

    def search(
        self, vectors: Sequence[bytes], *, company_id: int | None, limit: int, max_distance: int | None, fresh: bool
    ) -> Sequence[Sequence[Hit]]:
        """Find the rows nearest to each vector, in one call, within one tenant or (None) all.

        Milvus' range is `distance < radius`, so the largest distance that matches is `radius` less one.
        """
        parameters: dict[str, Any] = {"nprobe": self._settings.search_nprobe}
        if max_distance is not None:
            parameters["radius"] = max_distance + 1
        with self._ready() as (client, partitions):
            found = client.search(
                self.collection,
                data=list(vectors),
                anns_field=VECTOR_FIELD,
                filter="" if company_id is None else _of_company(company_id),
                limit=limit,
                output_fields=_HIT_FIELDS,
                search_params={"metric_type": METRIC, "params": parameters},
                partition_names=None if company_id is None else _partition_names(partitions, [company_id]),
                consistency_level=_consistency(fresh),
                timeout=self._settings.milvus_timeout,
            )
        return [_to_hits(hits) for hits in found]

    def counts(self) -> Mapping[str, int]:
        """Count the rows of each collection of ours by `count(*)`; Milvus' statistics count deleted rows too."""
        with self._ready() as (client, _):
            names = [name for name in client.list_collections() if name.startswith(f"{self._settings.collection}_")]
            return {
                name: client.query(
                    name,
                    output_fields=["count(*)"],
                    consistency_level=_consistency(fresh=True),
                    timeout=self._settings.milvus_timeout,
                )[0]["count(*)"]
                for name in sorted(names)
            }

    @contextmanager
    def _ready(self) -> Iterator[tuple[MilvusClient, int]]:
        """Connect where needed, make sure of the collection, and turn what pymilvus raises into our own errors."""
        try:
            with self._lock:
                ready = self._open()
            yield ready
        except MilvusException as error:
            if error.code in _CHANGED_CODES:
                self._partitions = None  # the next call makes sure of it again
            if isinstance(error, ParamError) or error.code in _MISCONFIGURED_CODES | _MISCONFIGURED_STATUS:
                raise Misconfigured(f"Milvus refuses: {error.message}") from error
            raise Transient(f"Milvus: {error.message} (code {error.code})") from error
        except grpc.RpcError as error:
            status = error.code() if isinstance(error, grpc.Call) else None
            if status in _MISCONFIGURED_STATUS:
                raise Misconfigured(f"Milvus refuses: {status}") from error
            raise Transient(f"Milvus cannot be reached: {status}") from error

    def _require_whole_vectors(self, rows: Sequence[Row]) -> None:
        """Refuse vectors of another length. Milvus counts their bytes together, and takes two whose errors cancel."""
        for row in rows:
            if len(row.image_vector) * 8 != self._bits:
                raise RowsRejected(f"a vector has {len(row.image_vector) * 8} bits, not {self._bits}")

    @contextmanager
    def _rejections(self) -> Iterator[None]:
        """Tell rows that are refused from a collection that was replaced by one which would refuse any."""
        try:
            yield
        except MilvusException as error:
            if not isinstance(error, _REJECTED_ERRORS) and error.code not in _REJECTED_CODES:
                raise
            with self._lock:
                self._partitions = None
                self._open()
            raise RowsRejected(f"Milvus refuses: {error.message}") from error

    def _open(self) -> tuple[MilvusClient, int]:
        """Connect and make sure of the collection, where that was not done.

        It may take 10 s to fail. Threads that waited meanwhile fail with it, and do not each try for as long.
        """
        if self._failed is not None and time.monotonic() - self._failed[0] < _FAIL_FAST_SECONDS:
            raise self._failed[1]
        try:
            if self._client is None:
                self._client = MilvusClient(
                    self._settings.milvus_uri,
                    token=self._settings.milvus_token,
                    timeout=_CONNECT_SECONDS,
                    dedicated=True,
                )
            if self._partitions is None:
                self._partitions = self._ensure(self._client)
        except Exception as error:
            self._failed = time.monotonic(), error
            raise
        self._failed = None
        return self._client, self._partitions

    def _ensure(self, client: MilvusClient) -> int:
        """Make the collection where it is missing, check it where it exists.

        Several workers may do this at once: each step is harmless when it is done already, and a worker that finds a
        collection half made by another completes it.

        Returns:
            How many tenant partitions rows are routed to; 0 for a collection of somebody else's making without any.
        """
        if not client.has_collection(self.collection):
            self._create(client)
        description = client.describe_collection(self.collection)
        differing = differences(fields(self._bits), [_found(field) for field in description["fields"]])
        provenance = Provenance.load(description["description"])
        if provenance is not None:
            if provenance.hash != self._profile:
                differing.append(f"it holds hashes of the profile {provenance.hash}, not {self._profile}")
            if not differing:
                self._complete(client, provenance.partitions)
        indexes = client.list_indexes(self.collection, field_name=VECTOR_FIELD)
        metrics = {client.describe_index(self.collection, name).get("metric_type") for name in indexes}
        if metrics != {METRIC}:
            differing.append(f"the index of {VECTOR_FIELD} has the metric {metrics or 'of none'}, not {METRIC}")
        if differing:
            raise Misconfigured(f"the collection {self.collection} does not fit: {'; '.join(differing)}")
        client.load_collection(self.collection)
        if provenance is not None:
            return provenance.partitions
        named = set(client.list_partitions(self.collection))
        return next(number for number in range(len(named) + 1) if partition_name(number) not in named)

    def _create(self, client: MilvusClient) -> None:
        provenance = Provenance(self._profile, self._settings.partitions)
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False, description=provenance.dump())
        for field in fields(self._bits):
            size = {"BINARY_VECTOR": {"dim": field.size}, "VARCHAR": {"max_length": field.size}}.get(field.type, {})
            schema.add_field(field.name, DataType[field.type], is_primary=field.primary, **size)
        client.create_collection(self.collection, schema=schema)

    def _complete(self, client: MilvusClient, partitions: int) -> None:
        named = set(client.list_partitions(self.collection))
        for name in (partition_name(number) for number in range(partitions)):
            if name not in named:
                client.create_partition(self.collection, name)
        if not client.list_indexes(self.collection, field_name=VECTOR_FIELD):
            index = client.prepare_index_params()
            flat = self._settings.index_type == "BIN_FLAT"
            index.add_index(
                VECTOR_FIELD,
                index_type=self._settings.index_type,
                metric_type=METRIC,
                params={} if flat else {"nlist": self._settings.index_nlist},
            )
            client.create_index(self.collection, index)


def _found(field: Mapping[str, Any]) -> FieldSpec:
    size = field["params"].get("dim") or field["params"].get("max_length")
    return FieldSpec(
        name=field["name"],
        type=field["type"].name,
        size=None if size is None else int(size),
        primary=field.get("is_primary", False),
        auto_id=field.get("auto_id", False),
    )


def _of_company(company_id: int) -> str:
    """The tenant's filter. Milvus before 2.5 takes no templates, so the id is made sure to be an integer here.

    It parses a negative number as the negation of a positive one, and the least INT64 has none.
    """
    if company_id == _LEAST:
        return f"company_id < {_LEAST + 1:d}"
    return f"company_id == {int(company_id):d}"


def _partition_of(partitions: int, company_id: int) -> str:
    """The partition of a tenant's rows; Milvus' default one where the collection has none of ours."""
    return partition_name(company_id % partitions) if partitions else "_default"


def _partition_names(partitions: int, company_ids: Iterable[int]) -> list[str] | None:
    names = {_partition_of(partitions, company_id) for company_id in company_ids}
    return sorted(names) if partitions else None


def _by_partition(partitions: int, companies: Mapping[_Key, int]) -> Mapping[str, list[_Key]]:
    groups: dict[str, list[_Key]] = defaultdict(list)
    for key, company_id in companies.items():
        groups[_partition_of(partitions, company_id)].append(key)
    return groups


def _consistency(fresh: bool) -> str:
    return "Strong" if fresh else "Bounded"


def _signed(crc: int) -> int:
    return crc - _UNSIGNED if crc > _SIGNED_MAX else crc


def _to_hits(found: Any) -> list[Hit]:
    """Turn one query's answer into ours, by its columns: pymilvus looks up each value of a hit in Python."""
    entities = (hit["entity"] for hit in found)
    return [
        Hit(int(distance), id_, entity["meta_id"], entity["company_id"], entity["object_key"])
        for id_, distance, entity in zip(found.ids, found.distances, entities, strict=True)
    ]


def _to_row(found: Mapping[str, Any]) -> Row:
    vector = found[VECTOR_FIELD]
    return Row(
        **{name: found[name] for name in _ROW_FIELDS}
        | {
            "content_crc": found["content_crc"] % _UNSIGNED,
            VECTOR_FIELD: vector[0] if isinstance(vector, list) else vector,
        }
    )
