"""The ids of a picture as an uploader wrote them, by the names that the workers look for.

Names: `company_id` and `meta_id` of a callback's variables (`x:company_id`), `x-oss-meta-company-id` and
`x-oss-meta-meta-id` of an object's user metadata. What is longer than any number is cut, and then is none.
"""

from collections.abc import Mapping
from typing import Final, Literal

from contract.decoding import MAX_ID_TEXT

IdName = Literal["company_id", "meta_id"]

_VARIABLE: Final = "x:"
_METADATA: Final = "x-oss-meta-"
_NAMES: Final[tuple[IdName, ...]] = ("company_id", "meta_id")


def variable_ids(variables: Mapping[str, object]) -> dict[IdName, str]:
    """Pick the ids out of a callback's variables, with `x:` before their names or without it."""
    found: dict[IdName, str] = {}
    for name in _NAMES:
        value = variables.get(_VARIABLE + name, variables.get(name))
        if value is not None and value != "":
            found[name] = str(value)[:MAX_ID_TEXT]
    return found


def metadata_ids(metadata: Mapping[str, object]) -> dict[IdName, str]:
    """Pick the ids out of an object's user metadata, by the names of its headers in whatever case."""
    lower = {name.lower(): value for name, value in metadata.items()}
    headers: dict[IdName, object] = {name: lower.get(_METADATA + name.replace("_", "-")) for name in _NAMES}
    return {name: str(value)[:MAX_ID_TEXT] for name, value in headers.items() if value is not None}
