"""The Redis stream of dead letters: each entry has one field, `letter`, which is JSON."""

import json
from collections.abc import Iterator, Sequence
from typing import Final, cast

import redis

from contract import DeadLetter, Reason
from producer.errors import vendor_errors
from producer.selection import Selection, StoredLetter

_PAGE: Final = 500
_WHAT: Final = "the ledger"


class DeadStream:
    """Reads and deletes entries. All methods raise `ServiceUnavailable` when Redis cannot be reached or refuses."""

    def __init__(self, connection: redis.Redis, key: str) -> None:
        self._connection = connection
        self._key = key

    def count(self) -> int:
        """Count all letters."""
        with vendor_errors(_WHAT):
            return self._connection.xlen(self._key)

    def newest_id(self) -> str:
        """Find the id of the newest letter; `0-0`, which is older than all, where there is none."""
        with vendor_errors(_WHAT):
            newest = cast("list[tuple[str, object]]", self._connection.xrevrange(self._key, count=1))
        return newest[0][0] if newest else "0-0"

    def read(self, selection: Selection) -> Iterator[StoredLetter]:
        """Read the letters that are selected, a page at a time: oldest first, or in the order of the ids given."""
        pages = (self._page(one, one) for one in selection.ids) if selection.ids else self._pages(selection.last_id)
        for page in pages:
            for stored in page:
                if selection.holds(stored.letter):
                    yield stored

    def delete(self, ids: Sequence[str]) -> int:
        """Delete letters for good, and count those that were there."""
        with vendor_errors(_WHAT):
            return self._connection.xdel(self._key, *ids) if ids else 0

    def _pages(self, last: str) -> Iterator[list[StoredLetter]]:
        start = "-"
        while page := self._page(start, last):
            yield page
            if len(page) < _PAGE:
                return
            start = "(" + page[-1].id

    def _page(self, start: str, end: str) -> list[StoredLetter]:
        with vendor_errors(_WHAT):
            entries = cast(
                "list[tuple[str, dict[str, str]]]", self._connection.xrange(self._key, start, end, count=_PAGE)
            )
        return [StoredLetter(entry_id, _decode(fields["letter"])) for entry_id, fields in entries]


def _decode(text: str) -> DeadLetter:
    letter = json.loads(text)
    return DeadLetter(**letter | {"reason": Reason(letter["reason"])})
