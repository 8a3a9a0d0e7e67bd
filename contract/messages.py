"""The arguments of the tasks that every application sends. Every decoder raises `InvalidMessage`."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from contract.decoding import (
    MAX_EVENTS,
    MAX_LIMIT,
    MAX_MEMBERS,
    CollectionName,
    IdText,
    ImageBytes,
    Int64,
    KeyTemplateText,
    MaxChance,
    MaxDistance,
    ObjectKey,
    ProfileName,
    Strict,
    VectorBytes,
    Versioned,
    decode_as,
)

IdTexts = dict[Literal["company_id", "meta_id"], IdText]


def _given(dumped: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in dumped.items() if value is not None}


class Item(Strict):
    """A picture of a tenant, by its application's ids."""

    meta_id: Int64
    company_id: Int64


class UploadEvent(Strict):
    """Object `object_key` is the picture of `meta_id` of `company_id`.

    Attributes:
        object_key: the object.
        meta_id: the picture.
        company_id: its tenant.
        when: on what condition the picture is indexed, for those who know of it from hearsay: `indexed`, that it is
            indexed as this object still; `absent`, that it is not indexed as another. `removed`: the object is said to
            be gone. Where it is, the picture's row is removed if it is of this object; otherwise nothing is done. None,
            as from whoever uploaded it: on none.
    """

    object_key: ObjectKey
    meta_id: Int64
    company_id: Int64
    when: Literal["indexed", "absent", "removed"] | None = None

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _given(handler(self))


class ObjectEvent(Strict):
    """Something happened to an object, of whose picture no ids are told: the workers find out.

    They look in the callback's variables, in the object's user metadata and in its key, in the order that they are told
    (`LOOKALIKE_IDS_FROM`). What they cannot find is a dead letter, `unmapped`.

    Attributes:
        object_key: the object.
        source: `oss`, which tells such an event from one whose ids were forgotten.
        bucket: that it is in; None: not told, and so the workers'.
        when: `removed`, or None where it was created or replaced. See `UploadEvent`.
        variables: `company_id` and `meta_id`, as the uploader gave them to a callback (`x:company_id`).
        metadata: the same, as the object's user metadata says (`x-oss-meta-company-id`); None where that was not told,
            so that it has to be asked for.
        key_template: by which the key is read, in place of the workers' own.
    """

    object_key: ObjectKey
    source: Literal["oss"]
    bucket: Annotated[str, Field(strict=True, min_length=1, max_length=63)] | None = None
    when: Literal["removed"] | None = None
    variables: IdTexts | None = None
    metadata: IdTexts | None = None
    key_template: KeyTemplateText | None = None

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _given(handler(self))


class Query(Strict):
    """What to look for: exactly one of an object, an image, a vector, or a picture that is already indexed."""

    object_key: ObjectKey | None = None
    image: ImageBytes | None = None
    vector: VectorBytes | None = None
    meta_id: Int64 | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name, value in self if value is not None]
        if len(given) != 1:
            raise ValueError(f"one of object_key, image, vector, meta_id is needed, not {', '.join(given) or 'none'}")
        return self


class SearchOptions(Strict):
    """Where to look, and how far.

    Attributes:
        company_id: the tenant. Required, unless `all_companies`.
        all_companies: look through every tenant's pictures.
        limit: how many matches at the most, 1 to 1,000.
        max_distance: the largest Hamming distance, in bits, that still matches (inclusive); None: no bound.
        max_chance: in place of `max_distance`: how many unrelated pictures may be expected by chance at a match's
            distance or nearer.
        fresh: see every write that was acknowledged before the search (Strong consistency, 0.3 s and more slower).
        hash: the profile to compare by; None: the workers' first.
        collapse: rows with the same vector are one match, with a count and its members. `limit` counts such matches.
        members: how many of its members a match names at the most, 0 to 100.
        low_quality: find blank and nearly blank pictures too.
        verify: have each match checked by a hash of 256 bits in all eight orientations, and say what it is. Rotated
            and mirrored copies are found too.
    """

    company_id: Int64 | None = None
    all_companies: bool = False
    limit: Annotated[int, Field(strict=True, ge=1, le=MAX_LIMIT)] = 10
    max_distance: MaxDistance | None = None
    max_chance: MaxChance | None = None
    fresh: bool = False
    hash: ProfileName | None = None
    collapse: bool = True
    members: Annotated[int, Field(strict=True, ge=0, le=MAX_MEMBERS)] = 10
    low_quality: bool = False
    verify: bool = False

    @model_validator(mode="after")
    def _scoped(self) -> Self:
        if self.company_id is None and not self.all_companies:
            raise ValueError("company_id is required; only all_companies=true searches across tenants")
        if self.max_distance is not None and self.max_chance is not None:
            raise ValueError("max_distance and max_chance: one of them, not both")
        return self


class _Ingest(Versioned):
    # The events are decoded one by one, so that a bad one never fails its siblings.
    events: Annotated[list[Any], Field(min_length=1, max_length=MAX_EVENTS)]


class _Delete(Versioned):
    items: Annotated[list[Item], Field(min_length=1, max_length=MAX_EVENTS)]


class _Search(Versioned, SearchOptions):
    query: Query


class _SearchMany(Versioned, SearchOptions):
    queries: Annotated[list[Query], Field(min_length=1, max_length=MAX_EVENTS)]


class WhichMembers(Versioned):
    """Which pictures of equal vectors are asked for.

    Attributes:
        company_id: the tenant of one of them.
        meta_id: one of them.
        hash: the profile; None: the workers' first.
        all_companies: other tenants' pictures too.
        low_quality: blank and nearly blank ones too.
        after: only those of larger ids: `next` of the page before.
        limit: how many, 1 to 1,000.
    """

    company_id: Int64
    meta_id: Int64
    hash: ProfileName | None = None
    all_companies: bool = False
    low_quality: bool = False
    after: Int64 = -1
    limit: Annotated[int, Field(strict=True, ge=1, le=MAX_LIMIT)] = 100


class Reindexing(Versioned):
    """What to fill a profile from.

    Attributes:
        hash: the profile.
        source: the collection whose pictures are to be in it; None: the first other of the workers' profiles.
    """

    hash: ProfileName
    source: CollectionName | None = None


def decode_event(raw: object) -> UploadEvent | ObjectEvent:
    """Decode one event of an ingest message: without ids, if it has a `source`."""
    of_object = "source" in raw if isinstance(raw, Mapping) else isinstance(raw, ObjectEvent)
    return decode_as(ObjectEvent, raw) if of_object else decode_as(UploadEvent, raw)


def decode_ingest(arguments: Mapping[str, Any]) -> Sequence[object]:
    """Decode the envelope of an ingest message: 1 to 100 events, each still to be decoded with `decode_event`."""
    return decode_as(_Ingest, arguments).events


def decode_delete(arguments: Mapping[str, Any]) -> Sequence[Item]:
    """Decode a delete message: 1 to 100 items."""
    return decode_as(_Delete, arguments).items


def decode_search(arguments: Mapping[str, Any]) -> tuple[Query, SearchOptions]:
    """Decode a search message."""
    message = decode_as(_Search, arguments)
    return message.query, message


def decode_search_many(arguments: Mapping[str, Any]) -> tuple[Sequence[Query], SearchOptions]:
    """Decode a search of 1 to 100 queries."""
    message = decode_as(_SearchMany, arguments)
    return message.queries, message


def decode_reindex(arguments: Mapping[str, Any]) -> Reindexing:
    """Decode a call for one page of reindexing."""
    return decode_as(Reindexing, arguments)


def decode_members(arguments: Mapping[str, Any]) -> WhichMembers:
    """Decode a call for a page of the pictures of one vector."""
    return decode_as(WhichMembers, arguments)
