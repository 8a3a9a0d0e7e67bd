"""What the tasks of an audit are asked, and what they answer: pages of the bucket and of a collection, closer looks."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Self, TypedDict

from pydantic import Field, model_validator

from contract.backfill import Prefix
from contract.decoding import MAX_EVENTS, Int64, KeyTemplateText, ObjectKey, ProfileName, Strict, Versioned, decode_as

MAX_PAGE: Final = 5000

Limit = Annotated[int, Field(strict=True, ge=1, le=MAX_PAGE)]


class WhichObjects(Versioned):
    """A page of the bucket.

    Attributes:
        prefix: that keys begin with.
        after: only greater keys: `next` of the page before.
        limit: how many at the most, 1 to 5,000.
        key_template: by which keys are read, in place of the workers' own.
    """

    prefix: Prefix = ""
    after: Prefix = ""
    limit: Limit = 1000
    key_template: KeyTemplateText | None = None


class WhichRows(Versioned):
    """A page of a collection.

    Attributes:
        hash: its profile; None: the workers' first.
        after: only rows of larger ids: `next` of the page before.
        limit: how many at the most, 1 to 5,000.
    """

    hash: ProfileName | None = None
    after: Int64 = -1
    limit: Limit = 1000


class Inspection(Strict):
    """An object to look at closer.

    Attributes:
        object_key: the object.
        company_id: with `meta_id`, whose it is thought to be; None: it is to be found out.
        meta_id: as above.
    """

    object_key: ObjectKey
    company_id: Int64 | None = None
    meta_id: Int64 | None = None

    @model_validator(mode="after")
    def _both_ids(self) -> Self:
        if (self.company_id is None) != (self.meta_id is None):
            raise ValueError("company_id and meta_id: both or none")
        return self


class Inspecting(Versioned):
    """Objects to look at closer: 1 to 100.

    Attributes:
        items: the objects.
        hash: the profile whose rows are looked up; None: the workers' first.
        key_template: by which keys are read, in place of the workers' own.
    """

    items: Annotated[list[Inspection], Field(min_length=1, max_length=MAX_EVENTS)]
    hash: ProfileName | None = None
    key_template: KeyTemplateText | None = None


class ListedObject(TypedDict):
    """An object of the bucket.

    Attributes:
        object_key: the object.
        modified: when it was last written, in milliseconds since 1970.
        size: in bytes.
        company_id: as its key says; None where the key does not say both ids.
        meta_id: as above.
    """

    object_key: str
    modified: int
    size: int
    company_id: int | None
    meta_id: int | None


class ObjectsResult(TypedDict):
    """A page of the bucket, in the order of the keys' UTF-8 bytes; `next` is None at the end."""

    objects: list[ListedObject]
    next: str | None


class StoredRow(TypedDict):
    """A row of the collection. `indexed_at` is in milliseconds since 1970."""

    id: int
    company_id: int
    meta_id: int
    object_key: str
    indexed_at: int


class RowsResult(TypedDict):
    """A page of a collection, in the order of the ids; `next` is None at the end."""

    hash: str
    rows: list[StoredRow]
    next: int | None


class PictureRow(TypedDict):
    """What the row of a picture says."""

    object_key: str
    content_crc: int
    indexed_at: int


class Inspected(TypedDict):
    """What was seen of an object.

    Attributes:
        there: whether the bucket has it.
        crc: its CRC-64; None where OSS does not tell.
        company_id: whose it is; None where that cannot be found.
        meta_id: as above.
        row: of that picture; None where there is none.
    """

    there: bool
    crc: int | None
    company_id: int | None
    meta_id: int | None
    row: PictureRow | None


class InspectResult(TypedDict):
    """What was seen, in the order asked."""

    items: Sequence[Inspected]


def decode_objects(arguments: Mapping[str, Any]) -> WhichObjects:
    """Decode a call for a page of the bucket. It raises `InvalidMessage`."""
    return decode_as(WhichObjects, arguments)


def decode_rows(arguments: Mapping[str, Any]) -> WhichRows:
    """Decode a call for a page of a collection. It raises `InvalidMessage`."""
    return decode_as(WhichRows, arguments)


def decode_inspect(arguments: Mapping[str, Any]) -> Inspecting:
    """Decode a call for a closer look. It raises `InvalidMessage`."""
    return decode_as(Inspecting, arguments)
