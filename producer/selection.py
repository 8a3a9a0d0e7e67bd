"""Which dead letters are meant, and a dead letter under its id."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from contract import DeadLetter, InvalidMessage, Reason

_ID: Final = re.compile(r"([0-9]{1,20})-([0-9]{1,20})", re.ASCII)
_ID_END: Final = 2**64  # Redis: both halves of the id of a stream's entry are unsigned 64-bit integers
NEWEST: Final = "+"  # Redis: greater than every id


def letter_id(text: str) -> str:
    """Check the id of a dead letter, such as `1763800000000-0`, and write it as Redis does.

    Raises:
        InvalidMessage: it is none.
    """
    found = _ID.fullmatch(text)
    if found is None or any(int(half) >= _ID_END for half in found.groups()):
        raise InvalidMessage(f"{text!r} is not the id of a dead letter: `lookalike dead list` shows them")
    return "-".join(str(int(half)) for half in found.groups())


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """A dead letter, and its id: that of its entry in the Redis stream."""

    id: str
    letter: DeadLetter

    def as_dict(self) -> dict[str, Any]:
        """The fields of the letter and the id, ready for JSON."""
        return {"id": self.id, **self.letter.as_dict()}


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters. All that is given must hold; with nothing given, every letter is meant.

    Attributes:
        ids: the letter is one of these.
        reasons: its class is one of these.
        company_id: its event names this tenant.
        since: it was given up then or later.
        until: it was given up then or earlier.
        last_id: it is as old as the letter of this id, or older.
    """

    ids: tuple[str, ...] = ()
    reasons: frozenset[Reason] = frozenset()
    company_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    last_id: str = NEWEST

    def __post_init__(self) -> None:
        for moment in (self.since, self.until):
            if moment is not None and moment.tzinfo is None:
                raise InvalidMessage("since, until: a time needs its zone")
        object.__setattr__(self, "ids", tuple(dict.fromkeys(map(letter_id, self.ids))))

    @property
    def filters(self) -> bool:
        """Whether what a letter says decides, beside its id."""
        return bool(self.reasons) or any(one is not None for one in (self.company_id, self.since, self.until))

    def holds(self, letter: DeadLetter) -> bool:
        """Whether a letter passes the filters. Its id is not looked at."""
        if self.reasons and letter.reason not in self.reasons:
            return False
        if self.company_id is not None and not _is_of(letter.event, self.company_id):
            return False
        if self.since is None and self.until is None:
            return True
        seen = _moment(letter.last_seen)
        return (
            seen is not None
            and (self.since is None or self.since <= seen)
            and (self.until is None or seen <= self.until)
        )


def _is_of(event: Any, company_id: int) -> bool:
    # An event that fits no contract is a dead letter too; True is no id, though it equals 1.
    company = event.get("company_id") if isinstance(event, Mapping) else None
    return type(company) is int and company == company_id


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
