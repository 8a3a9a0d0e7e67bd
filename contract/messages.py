"""The arguments of the tasks: decoded strictly, with errors that name the field.

Nothing is coerced: `True`, `7.0` and `"7"` are no ids. Every decoder raises `InvalidMessage`.
"""

import binascii
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from contract.errors import InvalidMessage
from contract.profiles import MAX_BITS, profile_named

VERSION: Final = 1
MAX_EVENTS: Final = 100
MAX_LIMIT: Final = 1000
MAX_MEMBERS: Final = 100
MAX_KEY_BYTES: Final = 1023  # OSS: "Object naming conventions"

Int64 = Annotated[int, Field(strict=True, ge=-(2**63), le=2**63 - 1)]


def _within_key_bytes(key: str) -> str:
    if len(key.encode()) > MAX_KEY_BYTES:
        raise ValueError(f"an OSS object key has at most {MAX_KEY_BYTES} bytes of UTF-8")
    return key


def _from_base64(value: object) -> object:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("an image is base64 in a string")  # noqa: TRY004 - pydantic reports ValueError, not TypeError
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"not base64: {error}") from None


def _from_hex(value: object) -> object:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("a vector is hexadecimal in a string")  # noqa: TRY004 - as above
    try:
        return binascii.unhexlify(value)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"not hexadecimal: {error}") from None


def _known(version: int) -> int:
    if version != VERSION:
        raise ValueError(f"the version of the contract is {VERSION}, not {version}")
    return version


def _profile_name(name: str) -> str:
    try:
        return profile_named(name).name
    except InvalidMessage as error:
        raise ValueError(str(error).removeprefix("hash: ")) from None


# Not Literal[1], which takes True and 1.0 for 1.
Version = Annotated[int, Field(strict=True), AfterValidator(_known)]
ObjectKey = Annotated[str, Field(strict=True, min_length=1), AfterValidator(_within_key_bytes)]
ImageBytes = Annotated[bytes, BeforeValidator(_from_base64), Field(min_length=1)]
ProfileName = Annotated[str, Field(strict=True), AfterValidator(_profile_name)]
MaxDistance = Annotated[int, Field(strict=True, ge=0, le=MAX_BITS)]
MaxChance = Annotated[float, Field(ge=0, allow_inf_nan=False)]
CollectionName = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=255)]
VectorBytes = Annotated[bytes, BeforeValidator(_from_hex), Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)


class Item(_Strict):
    """A picture of a tenant, by its application's ids."""

    meta_id: Int64
    company_id: Int64


class UploadEvent(_Strict):
    """Object `object_key` is the picture of `meta_id` of `company_id`.

    Attributes:
        object_key: the object.
        meta_id: the picture.
        company_id: its tenant.
        when: on what condition the picture is indexed, for those who know of it from hearsay: `indexed`, that it is
            indexed as this object still; `absent`, that it is not indexed as another. None, as from whoever uploaded
            it: on none.
    """

    object_key: ObjectKey
    meta_id: Int64
    company_id: Int64
    when: Literal["indexed", "absent"] | None = None

    @model_serializer(mode="wrap")
    def _without_no_condition(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = handler(self)
        return dumped if self.when is not None else {name: dumped[name] for name in dumped if name != "when"}


class Query(_Strict):
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


class SearchOptions(_Strict):
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


class _Versioned(_Strict):
    version: Version = VERSION


class _Ingest(_Versioned):
    # The events are decoded one by one, so that a bad one never fails its siblings.
    events: Annotated[list[Any], Field(min_length=1, max_length=MAX_EVENTS)]


class _Delete(_Versioned):
    items: Annotated[list[Item], Field(min_length=1, max_length=MAX_EVENTS)]


class _Search(_Versioned, SearchOptions):
    query: Query


class _SearchMany(_Versioned, SearchOptions):
    queries: Annotated[list[Query], Field(min_length=1, max_length=MAX_EVENTS)]


class WhichMembers(_Versioned):
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


class Reindexing(_Versioned):
    """What to fill a profile from.

    Attributes:
        hash: the profile.
        source: the collection whose pictures are to be in it; None: the first other of the workers' profiles.
    """

    hash: ProfileName
    source: CollectionName | None = None


_Model = TypeVar("_Model", bound=BaseModel)


def _decode(model: type[_Model], raw: object) -> _Model:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise InvalidMessage("; ".join(_explain(error))) from None


def _explain(error: ValidationError) -> list[str]:
    details = error.errors(include_url=False, include_input=False, include_context=False)
    return [
        ": ".join(filter(None, (".".join(map(str, detail["loc"])), detail["msg"].removeprefix("Value error, "))))
        for detail in details
    ]


def decode_event(raw: object) -> UploadEvent:
    """Decode one event of an ingest message."""
    return _decode(UploadEvent, raw)


def decode_ingest(arguments: Mapping[str, Any]) -> Sequence[object]:
    """Decode the envelope of an ingest message: 1 to 100 events, each still to be decoded with `decode_event`."""
    return _decode(_Ingest, arguments).events


def decode_delete(arguments: Mapping[str, Any]) -> Sequence[Item]:
    """Decode a delete message: 1 to 100 items."""
    return _decode(_Delete, arguments).items


def decode_search(arguments: Mapping[str, Any]) -> tuple[Query, SearchOptions]:
    """Decode a search message."""
    message = _decode(_Search, arguments)
    return message.query, message


def decode_search_many(arguments: Mapping[str, Any]) -> tuple[Sequence[Query], SearchOptions]:
    """Decode a search of 1 to 100 queries."""
    message = _decode(_SearchMany, arguments)
    return message.queries, message


def decode_reindex(arguments: Mapping[str, Any]) -> Reindexing:
    """Decode a call for one page of reindexing."""
    return _decode(Reindexing, arguments)


def decode_members(arguments: Mapping[str, Any]) -> WhichMembers:
    """Decode a call for a page of the pictures of one vector."""
    return _decode(WhichMembers, arguments)
