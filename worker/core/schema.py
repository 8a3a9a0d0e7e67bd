"""What a collection must look like, as data, and what differs where one does not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

VECTOR_FIELD: Final = "image_vector"
VECTOR_KEY_FIELD: Final = "vector_key"
METRIC: Final = "HAMMING"


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """A field of a collection, with its type as Milvus names it.

    `size` is the dimension of a BINARY_VECTOR, in bits, or the least `max_length` of a VARCHAR, in bytes.
    """

    name: str
    type: str
    size: int | None = None
    primary: bool = False
    auto_id: bool = False


def fields(bits: int) -> tuple[FieldSpec, ...]:
    """The fields of a collection of hashes of so many bits."""
    return (
        FieldSpec("id", "INT64", primary=True),
        FieldSpec("meta_id", "INT64"),
        FieldSpec("company_id", "INT64"),
        FieldSpec(VECTOR_FIELD, "BINARY_VECTOR", size=bits),
        FieldSpec("object_key", "VARCHAR", size=1024),
        FieldSpec("content_crc", "INT64"),
        FieldSpec("indexed_at", "INT64"),
        FieldSpec("quality", "INT16"),
        FieldSpec("width", "INT32"),
        FieldSpec("height", "INT32"),
        FieldSpec(VECTOR_KEY_FIELD, "INT64"),
    )


def differences(wanted: Sequence[FieldSpec], found: Sequence[FieldSpec]) -> list[str]:
    """Say, field by field, what keeps `found` from serving as `wanted`; nothing where it fits."""
    by_name: Mapping[str, FieldSpec] = {field.name: field for field in found}
    said = [f"field {field.name} is missing" for field in wanted if field.name not in by_name]
    for field in wanted:
        if field.name in by_name:
            said += _differs(field, by_name[field.name])
    known = {field.name for field in wanted}
    return said + [f"field {field.name} is not known" for field in found if field.name not in known]


def _differs(wanted: FieldSpec, found: FieldSpec) -> list[str]:
    said = []
    if found.type != wanted.type:
        said.append(f"field {wanted.name} is {found.type}, not {wanted.type}")
    elif wanted.type == "BINARY_VECTOR" and found.size != wanted.size:
        said.append(f"field {wanted.name} has {found.size} bits, not {wanted.size}")
    elif wanted.type == "VARCHAR" and (found.size or 0) < (wanted.size or 0):
        said.append(f"field {wanted.name} holds {found.size} bytes, not {wanted.size}")
    if found.primary != wanted.primary:
        said.append(f"field {wanted.name} is {'' if found.primary else 'not '}the primary key")
    if found.auto_id:
        said.append(f"field {wanted.name} is made by Milvus (auto_id)")
    return said


def partition_name(number: int) -> str:
    """The name of a tenant partition."""
    return f"tenant_{number}"
