"""`lookalike.duplicates`: the groups of a tenant's pictures that look alike. What it takes and what it returns."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self, TypedDict

from pydantic import Field, model_validator

from contract.decoding import Int64, MaxChance, MaxDistance, ProfileName, Versioned, decode_as

Cursor = Annotated[str, Field(strict=True, pattern=r"^[0-9a-f]{32}:[0-9]{1,18}$")]
# A page holds at most so many members; of a larger group it holds a part.
PAGE_MEMBERS: Final = 1000
DEFAULT_CHANCE: Final = 0.01


class DuplicatesOptions(Versioned):
    """Which groups are wanted.

    Attributes:
        company_id: the tenant.
        max_distance: the largest Hamming distance, in bits, of two pictures that look alike (inclusive).
        max_chance: in place of `max_distance`: how many unrelated pictures may be expected by chance so near to one.
            Where neither is given 0.01, or, where no distance has so small a chance, equal vectors only.
        hash: the profile to compare by; None: the workers' first.
        low_quality: group blank and nearly blank pictures too.
        page: the `next` of the page before; None for the first, and while the job is under way.
        restart: begin anew, whatever is done already.
    """

    company_id: Int64
    max_distance: MaxDistance | None = None
    max_chance: MaxChance | None = None
    hash: ProfileName | None = None
    low_quality: bool = False
    page: Cursor | None = None
    restart: bool = False

    @property
    def chance(self) -> float:
        """The chance that a distance is wanted for, where none is given."""
        return DEFAULT_CHANCE if self.max_chance is None else self.max_chance

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.max_distance is not None and self.max_chance is not None:
            raise ValueError("max_distance and max_chance: one of them, not both")
        if self.restart and self.page is not None:
            raise ValueError("restart begins anew: it has no page yet")
        return self


class GroupMember(TypedDict):
    """A picture of a group, and its Hamming distance to the representative, in bits."""

    id: int
    meta_id: int
    object_key: str
    distance: int


class Group(TypedDict):
    """Pictures that look alike: each is near another of them, so two of them may be far apart.

    Attributes:
        representative: the id of the picture that was indexed first.
        size: how many pictures the group had when it was made.
        members: them, the representative first, then by distance and id. Those that were deleted or replaced since are
            left out.
    """

    representative: int
    size: int
    members: list[GroupMember]


class DuplicatesResult(TypedDict):
    """How far the job is, and, when it is done, a page of the groups.

    Attributes:
        hash: the profile that is compared by.
        max_distance: in bits.
        state: what is being done.
        done: how much of that: rows, pairs of vectors, or passes.
        total: of how many.
        groups: the number of groups, when it is done.
        page: groups, larger ones first, equal ones by representative. A group of which not all members fit goes on in
            the next page, under the same representative.
        next: what to give as `page` for the next one; None when this is the last.
    """

    hash: str
    max_distance: int
    state: Literal["reading", "comparing", "grouping", "done"]
    done: int
    total: int
    groups: int
    page: list[Group]
    next: str | None


def decode_duplicates(arguments: Mapping[str, Any]) -> DuplicatesOptions:
    """Decode a call for a step, or a page, of the groups of a tenant."""
    return decode_as(DuplicatesOptions, arguments)
