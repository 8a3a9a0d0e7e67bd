"""Rows, filters and partitions as Milvus takes and gives them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

from worker.core.fingerprints import LOW_QUALITY
from worker.core.schema import VECTOR_FIELD, VECTOR_KEY_FIELD, partition_name
from worker.ports import Hit

_UNSIGNED: Final = 1 << 64
_SIGNED_MAX: Final = (1 << 63) - 1
_LEAST: Final = -(1 << 63)

# The filter of pictures that have something to compare.
GOOD: Final = f"quality >= {LOW_QUALITY:d}"

_Key = TypeVar("_Key")


def where(company_id: int | None, *expressions: str) -> str:
    """A filter of a tenant's rows, and of those the ones that all expressions let through."""
    return " and ".join(filter(None, ("" if company_id is None else _of_company(company_id), *expressions)))


def of_vector(key: int) -> str:
    """The filter of the rows of one vector, given by its key."""
    return f"{VECTOR_KEY_FIELD} in [{int(key):d}]"


def unlike(keys: Iterable[int]) -> str:
    """The filter of all rows but those of some vectors, given by their keys."""
    listed = ", ".join(f"{int(key):d}" for key in keys)
    return f"{VECTOR_KEY_FIELD} not in [{listed}]" if listed else ""


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


def partition_names(partitions: int, company_ids: Iterable[int]) -> list[str] | None:
    """The partitions of some tenants; None, which is all, where the collection has none of ours."""
    names = {_partition_of(partitions, company_id) for company_id in company_ids}
    return sorted(names) if partitions else None


def by_partition(partitions: int, companies: Mapping[_Key, int]) -> Mapping[str, list[_Key]]:
    """Group what belongs to tenants, given with their ids, by partition."""
    groups: dict[str, list[_Key]] = defaultdict(list)
    for key, company_id in companies.items():
        groups[_partition_of(partitions, company_id)].append(key)
    return groups


def consistency(fresh: bool) -> str:
    """Milvus' name for reading every write that was acknowledged, or all but the last seconds'."""
    return "Strong" if fresh else "Bounded"


def signed(crc: int) -> int:
    """An unsigned 64-bit integer as the INT64 of the same bits."""
    return crc - _UNSIGNED if crc > _SIGNED_MAX else crc


def to_hits(found: Any) -> list[Hit]:
    """Turn one query's answer into ours, by its columns: pymilvus looks up each value of a hit in Python."""
    entities = (hit["entity"] for hit in found)
    return [
        Hit(
            int(distance),
            id_,
            entity["meta_id"],
            entity["company_id"],
            entity["object_key"],
            entity["quality"],
            entity["indexed_at"],
            entity[VECTOR_KEY_FIELD],
        )
        for id_, distance, entity in zip(found.ids, found.distances, entities, strict=True)
    ]


def unsigned(crc: int) -> int:
    """The reverse of `signed`."""
    return crc % _UNSIGNED


def vector_of(found: Mapping[str, Any]) -> bytes:
    """The vector of a row that was read."""
    vector = found[VECTOR_FIELD]
    packed: bytes = vector[0] if isinstance(vector, list) else vector
    return packed
