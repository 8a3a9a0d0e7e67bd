"""Key templates: where in an object's key the ids of its picture stand.

`uploads/{company_id}/{meta_id}/{_}.jpg` fits `uploads/7/42/front.jpg`, whose picture is 42 of company 7. A template
never guesses: one that could read a key in two ways is refused when it is made.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from contract.errors import InvalidMessage

IDS: Final = ("company_id", "meta_id")
_ANY: Final = "_"  # anything within a segment
_SEGMENTS: Final = "{__}"  # whole segments
_MAX_BYTES: Final = 1023
# As many as a key needs; each one more would multiply the time that a key takes that does not fit.
_MAX_ANY: Final = 2
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_INTEGER: Final = "-?[0-9]{1,19}"
_INT64: Final = range(-(2**63), 2**63)


class KeyTemplate:
    """Reads the ids of a picture out of its object's key.

    Args:
        text: the key, with `{company_id}` and `{meta_id}` in place of the numbers (one of them at least, each once at
            the most), `{_}` in place of anything within one segment (between two slashes; not empty), and `{__}` in
            place of one or more whole segments (once at the most).

    Raises:
        InvalidMessage: it is none, or a key could be read in two ways.
    """

    def __init__(self, text: str) -> None:
        self.text: Final = text
        if len(text.encode()) > _MAX_BYTES:
            raise InvalidMessage(f"key template: at most {_MAX_BYTES:,} bytes")
        segments = text.split("/")
        names = [name for segment in segments for name in _names(segment) if name in IDS]
        if not names:
            raise InvalidMessage(
                "key template: {company_id} or {meta_id} is needed, such as {company_id}/{meta_id}.jpg"
            )
        if len(set(names)) < len(names):
            raise InvalidMessage("key template: an id is named twice")
        if segments.count(_SEGMENTS) > 1:
            raise InvalidMessage("key template: {__} may stand once")
        self.names: Final[Sequence[str]] = tuple(names)
        self._pattern = re.compile("/".join(map(_pattern, segments)), re.ASCII | re.DOTALL)

    def ids(self, key: str) -> Mapping[str, int] | None:
        """Read a key.

        Returns:
            The ids that the template names, by `company_id` and `meta_id`; None where the key does not fit, or has a
            number that is no signed 64-bit integer.
        """
        found = self._pattern.fullmatch(key)
        if found is None:
            return None
        ids = {name: int(found[name]) for name in self.names}
        return ids if all(id_ in _INT64 for id_ in ids.values()) else None


@lru_cache(maxsize=32)
def key_template(text: str) -> KeyTemplate:
    """Make a template, or give the one that was made of the same text."""
    return KeyTemplate(text)


def _names(segment: str) -> Sequence[str]:
    return _PLACEHOLDER.findall(segment)


def _pattern(segment: str) -> str:
    """The regular expression of what stands between two slashes."""
    if segment == _SEGMENTS:
        return r"[^/]+(?:/[^/]+)*"
    # Literals at even places, names at odd ones.
    parts = _PLACEHOLDER.split(segment)
    literals, names = parts[::2], parts[1::2]
    for name in names:
        if name not in (*IDS, _ANY):
            raise InvalidMessage(f"key template: {{{name}}} is none of {{company_id}}, {{meta_id}}, {{_}} and {{__}}")
    if any("{" in literal or "}" in literal for literal in literals):
        raise InvalidMessage("key template: a brace that is not closed, or not opened")
    if not all(literals[1:-1]):
        raise InvalidMessage("key template: between two placeholders something must stand that parts them")
    last_id = max((n for n, name in enumerate(names) if name in IDS), default=-1)
    if sum(name == _ANY for name in names[last_id + 1 :]) > (1 if last_id >= 0 else _MAX_ANY):
        raise InvalidMessage("key template: too many {_} in one segment")
    return "".join(
        re.escape(literal) + (_placeholder(names[n], literals[n + 1], n < last_id) if n < len(names) else "")
        for n, literal in enumerate(literals)
    )


def _placeholder(name: str, following: str, before_id: bool) -> str:
    if name == _ANY:
        # Before an id it ends at the first character that follows it, so that there is one way to read the segment.
        return f"[^/{re.escape(following[0])}]+" if before_id else "[^/]+"
    if following[:1].isdigit():
        raise InvalidMessage(f"key template: a digit after {{{name}}} could be the number's")
    return f"(?P<{name}>{_INTEGER})"
