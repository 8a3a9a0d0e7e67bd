"""What the tasks return, and what is kept of an event that could not be indexed."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, NotRequired, TypedDict


class IngestResult(TypedDict):
    """How many events of a message ended how. The four add up to the events.

    What an event of a removed object brings about counts as indexed: the index says what the event does.
    """

    indexed: int
    unchanged: int
    dead: int
    retried: int


class DeleteResult(TypedDict):
    """How many of the items had a row, which is now gone."""

    deleted: int


class Kind(StrEnum):
    """What a match is, by a second look at it."""

    SAME_BYTES = "same_bytes"
    RE_ENCODED = "re_encoded"
    RESIZED = "resized"
    ROTATED_OR_MIRRORED = "rotated_or_mirrored"
    SIMILAR = "similar"
    PROBABLY_CHANCE = "probably_chance"
    NOT_VERIFIED = "not_verified"


class Orientation(StrEnum):
    """The eight ways to lay a picture, named as EXIF's orientations 1 to 8 are shown."""

    AS_IT_IS = "as_it_is"
    MIRRORED = "mirrored"
    ROTATED_180 = "rotated_180"
    FLIPPED = "flipped"
    TRANSPOSED = "transposed"
    ROTATED_90 = "rotated_90"
    TRANSVERSED = "transversed"
    ROTATED_270 = "rotated_270"


class Member(TypedDict):
    """A picture with the same vector as others."""

    id: int
    meta_id: int
    company_id: int
    object_key: str


class Match(TypedDict):
    """A picture that looks like the query's, `distance` bits of Hamming distance away.

    Attributes:
        quality: how much there is to compare in it, 0 (blank) to 100.
        chance: how many unrelated pictures of those searched are expected by chance at this distance or nearer.
        count: how many pictures have this vector, this one included. Of them, this one was indexed first.
        members: the first of those pictures, in the order of their ids; `lookalike.members` has the rest.
        kind: what this one is, where that was to be verified. Its members may be something else: see `collapse`.
        verified_distance: the Hamming distance by the hash of 256 bits, in the nearest orientation, where verified.
        orientation: how the query's picture has to be turned to look like this one, where verified.
    """

    id: int
    meta_id: int
    company_id: int
    distance: int
    object_key: str
    quality: int
    chance: float
    count: int
    members: list[Member]
    kind: NotRequired[Kind]
    verified_distance: NotRequired[int | None]
    orientation: NotRequired[Orientation | None]


class MembersResult(TypedDict):
    """A page of the pictures that have one vector, in the order of their ids.

    Attributes:
        next: what to give as `after` for the next page; None when this is the last.
    """

    hash: str
    members: list[Member]
    next: int | None


class SearchResult(TypedDict):
    """The hash profile that was searched, and its matches: nearest first, equal distances by id."""

    hash: str
    matches: list[Match]


class SearchManyResult(TypedDict):
    """The hash profile that was searched, and for each query, in the order asked, its matches."""

    hash: str
    results: list[list[Match]]


class ReindexResult(TypedDict):
    """How far a profile is filled from a collection.

    Attributes:
        hash: the profile.
        source: the collection that is read.
        read: rows of it that were read.
        total: about how many rows it has.
        present: of those that were read, the ones whose pictures the profile had already.
        enqueued: the others: an event of each was enqueued.
        done: whether this was the last page.
    """

    hash: str
    source: str
    read: int
    total: int
    present: int
    enqueued: int
    done: bool


class Reason(StrEnum):
    """Why an event is a dead letter."""

    INVALID = "invalid"
    UNMAPPED = "unmapped"
    NOT_FOUND = "not_found"
    NOT_READABLE = "not_readable"
    NOT_AN_IMAGE = "not_an_image"
    TOO_LARGE = "too_large"
    ID_COLLISION = "id_collision"
    REJECTED = "rejected"
    UNAVAILABLE = "unavailable"
    CRASH = "crash"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that will not be tried again.

    Attributes:
        event: as it was sent; for a valid one `object_key`, `meta_id`, `company_id`.
        reason: the class of failure.
        error: what went wrong, for a person.
        attempts: how many times a worker began on it.
        first_seen: when it was enqueued, ISO 8601 in UTC.
        last_seen: when it was given up, ISO 8601 in UTC.
        trace_id: by which the log lines about it can be found; None in letters of before there was one.
    """

    event: Any
    reason: Reason
    error: str
    attempts: int
    first_seen: str
    last_seen: str
    trace_id: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The fields under their names, ready for JSON."""
        return asdict(self)
