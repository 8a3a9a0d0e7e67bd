"""Pages that show what was found: one file each, which asks nothing of anybody."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from contract import SearchResult

# Everything is escaped: object keys are other people's.
_TEMPLATES: Final = Environment(loader=PackageLoader("producer", "pages"), autoescape=True)
_STRICT: Final = _TEMPLATES.overlay(undefined=StrictUndefined)


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
    return _render(_STRICT, "report.html", title=title, sections=sections)


def render_search(result: SearchResult, query: str | None, thumbnails: Sequence[tuple[str | None, str | None]]) -> str:
    """Make the page of a search.

    Args:
        result: what was found.
        query: the thumbnail of the picture that was searched for, a JPEG in base64; None: there is none.
        thumbnails: for each match, as `Client.thumbnails` yields them.
    """
    cards = [(match, *thumbnail) for match, thumbnail in zip(result["matches"], thumbnails, strict=True)]
    return _render(_TEMPLATES, "search.html", title="Pictures that look alike", result=result, query=query, cards=cards)


def _render(templates: Environment, name: str, **values: Mapping[str, Any] | Any) -> str:
    return templates.get_template(name).render(nonce=secrets.token_urlsafe(16), **values)
