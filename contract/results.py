"""What the tasks return, and what is kept of an event that could not be indexed."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, TypedDict


class IngestResult(TypedDict):
    """How many events of a message ended how. The four add up to the events."""

    indexed: int
    unchanged: int
    dead: int
    retried: int


class DeleteResult(TypedDict):
    """How many of the items had a row, which is now gone."""

    deleted: int


class Match(TypedDict):
    """A picture that looks like the query's, `distance` bits of Hamming distance away."""

    id: int
    meta_id: int
    company_id: int
    distance: int
    object_key: str


class SearchResult(TypedDict):
    """The hash profile that was searched, and its matches: nearest first, equal distances by id."""

    hash: str
    matches: list[Match]


class SearchManyResult(TypedDict):
    """The hash profile that was searched, and for each query, in the order asked, its matches."""

    hash: str
    results: list[list[Match]]


class Reason(StrEnum):
    """Why an event is a dead letter."""

    INVALID = "invalid"
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
    """

    event: Any
    reason: Reason
    error: str
    attempts: int
    first_seen: str
    last_seen: str

    def as_dict(self) -> dict[str, Any]:
        """The fields under their names, ready for JSON."""
        return asdict(self)
