"""Pages that show what was found: one file each, which asks nothing of anybody."""

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from contract import SearchResult, profile_named

Thumbnail = tuple[str | None, str | None]
"""A JPEG in base64 and None, or None and why there is none: as `Client.thumbnails` yields them."""

_LEAST_CHANCE: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report.

    Attributes:
        title: its heading.
        paragraphs: text, escaped.
        table: rows of cells, the first of them the headings.
        figure: a PNG in base64.
        alt: what the figure shows, in words.
    """

    title: str
    paragraphs: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()
    figure: str | None = None
    alt: str = ""


def render_report(title: str, sections: Sequence[Section]) -> str:
    """Make a page of sections with text, tables and figures."""
    return "".join(_render("report.html", title=title, sections=sections))


def render_search(result: SearchResult, query: str | None, thumbnails: Sequence[Thumbnail]) -> str:
    """Make the page of a search.

    Args:
        result: what was found.
        query: the thumbnail of the picture that was searched for, a JPEG in base64; None: there is none.
        thumbnails: one for each match.
    """
    cards = [(match, *thumbnail) for match, thumbnail in zip(result["matches"], thumbnails, strict=True)]
    bits = profile_named(result["hash"]).bits
    return "".join(
        _render("search.html", title="Pictures that look alike", result=result, query=query, cards=cards, bits=bits)
    )


def render_duplicates(
    groups: Iterable[tuple[Mapping[str, Any], Sequence[Thumbnail]]],
    *,
    company_id: int,
    profile: str,
    max_distance: int,
    shown: int,
) -> Iterator[str]:
    """Make the page of a tenant's duplicates, a piece at a time: one group is in memory.

    Args:
        groups: each with its `representative`, `size` and `members`, and a thumbnail for the first members of it.
        company_id: the tenant.
        profile: that was compared by.
        max_distance: in bits.
        shown: how many members of a group have a thumbnail at the most.
    """
    return _render(
        "duplicates.html",
        title=f"Duplicates of company {company_id}",
        groups=(
            (group, [(member, *one) for member, one in zip(group["members"], thumbnails, strict=False)])
            for group, thumbnails in groups
        ),
        company_id=company_id,
        hash=profile,
        max_distance=max_distance,
        bits=profile_named(profile).bits,
        shown=shown,
    )


def _render(name: str, **values: Any) -> Iterator[str]:
    return _TEMPLATES.get_template(name).generate(nonce=secrets.token_urlsafe(16), **values)


def _in_words(chance: float) -> str:
    """How many unrelated pictures are expected as near."""
    if chance < _LEAST_CHANCE:
        return "less than one in 10,000 searches has an unrelated picture as near by chance"
    if chance < 1:
        return f"one in {round(1 / chance):,} searches has an unrelated picture as near by chance"
    return f"{chance:,.1f} unrelated pictures are expected as near by chance"


# Everything is escaped: object keys are other people's.
_TEMPLATES: Final = Environment(
    loader=PackageLoader("producer", "pages"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
_TEMPLATES.filters["chance"] = _in_words
