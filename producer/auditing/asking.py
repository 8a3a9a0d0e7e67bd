"""Asking the workers for an audit's pages and closer looks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from contract import INSPECT, OBJECTS, ROWS, VERSION
from contract.audit import Inspected, InspectResult, ObjectsResult, RowsResult, decode_objects, decode_rows


@dataclass(frozen=True, slots=True)
class Workers:
    """The workers, asked by name.

    Attributes:
        call: calls a task, patiently.
        prefix: of the keys that are listed.
        profile: of the collection; None: the workers' first.
        key_template: by which keys are read; None: the workers' own.
    """

    call: Callable[[str, Mapping[str, Any]], object]
    prefix: str = ""
    profile: str | None = None
    key_template: str | None = None

    def check(self) -> None:
        """Raise `InvalidMessage` where what was given does not fit the contract."""
        decode_objects({"prefix": self.prefix, "key_template": self.key_template})
        decode_rows({"hash": self.profile})

    def objects(self, after: str, limit: int) -> ObjectsResult:
        """A page of the bucket."""
        asked = {"prefix": self.prefix, "after": after, "limit": limit, "key_template": self.key_template}
        return cast("ObjectsResult", self.call(OBJECTS, {**asked, "version": VERSION}))

    def rows(self, after: int, limit: int) -> RowsResult:
        """A page of the collection."""
        asked = {"hash": self.profile, "after": after, "limit": limit}
        return cast("RowsResult", self.call(ROWS, {**asked, "version": VERSION}))

    def inspect(self, items: list[dict[str, Any]]) -> list[Inspected]:
        """A closer look at 1 to 100 objects."""
        asked = {"items": items, "hash": self.profile, "key_template": self.key_template}
        result = cast("InspectResult", self.call(INSPECT, {**asked, "version": VERSION}))
        return list(result["items"])
