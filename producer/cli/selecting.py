"""The arguments and options that select dead letters."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer

from contract import InvalidMessage, Reason
from producer.selection import Selection, letter_id

_SPAN: Final = re.compile(r"([0-9]{1,9})([smhdw])", re.ASCII)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_moment(text: str) -> datetime:
    """Read a time in ISO 8601, in UTC unless it says otherwise, or a span before now: `90s`, `30m`, `2h`, `7d`."""
    try:
        if span := _SPAN.fullmatch(text.strip()):
            return datetime.now(UTC) - timedelta(**{_UNITS[span[2]]: int(span[1])})
        moment = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is neither a time such as 2026-01-31T12:00:00Z nor a span such as 2h or 7d."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _parse_id(text: str) -> str:
    try:
        return letter_id(text)
    except InvalidMessage as error:
        raise typer.BadParameter(f"{error}.") from None


_ID: Final = typer.Argument(metavar="ID...", parser=_parse_id, help="Ids of letters, as `list` shows them.")
Ids = Annotated[list[str], _ID]
OptionalIds = Annotated[list[str] | None, _ID]
Reasons = Annotated[
    list[Reason] | None,
    typer.Option(
        "--reason", metavar="CLASS", help=f"Those of this class: {', '.join(Reason)}. May be given several times."
    ),
]
Company = Annotated[
    int | None, typer.Option("--company-id", "--company", metavar="N", help="Those whose event names this tenant.")
]
Since = Annotated[
    datetime | None,
    typer.Option(
        metavar="TIME",
        parser=parse_moment,
        help="Those given up then or later: ISO 8601, in UTC unless it says otherwise, or a span before now (2h, 7d).",
    ),
]
Until = Annotated[
    datetime | None, typer.Option(metavar="TIME", parser=parse_moment, help="Those given up then or earlier.")
]
All = Annotated[bool, typer.Option("--all", help="All letters.")]


def select(
    ids: list[str] | None,
    reasons: list[Reason] | None,
    company_id: int | None,
    since: datetime | None,
    until: datetime | None,
) -> Selection:
    """Make a selection of what was given."""
    return Selection(tuple(ids or ()), frozenset(reasons or ()), company_id, since, until)


def select_some(selection: Selection, everything: bool) -> Selection:
    """Check that all letters are meant only where that was said."""
    some = bool(selection.ids) or selection.filters
    if some and everything:
        raise typer.BadParameter("--all is every letter: give it without ids and filters.")
    if not some and not everything:
        raise typer.BadParameter("Which letters? Give ids, a filter (--reason, --company, --since, --until) or --all.")
    return selection
