"""Pairs of pictures that somebody decided are no duplicates, in the ledger's Redis, which never evicts."""

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import Final, cast

import redis

from contract import InvalidMessage
from producer.errors import vendor_errors

_INT64: Final = range(-(2**63), 2**63)
_AT_ONCE: Final = 1000
_PAIR: Final = 2
_WHAT: Final = "the ledger"


class Decisions:
    """A set for each tenant. A pair has no order: the lesser id stands first.

    All methods raise `ServiceUnavailable` when Redis cannot be reached or refuses.
    """

    def __init__(self, connection: redis.Redis) -> None:
        self._connection = connection

    def record(self, company_id: int, pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Keep pairs of a tenant's meta_ids. Those that are kept already stay.

        Returns:
            The pairs in order, each once.
        """
        ordered = sorted({(min(pair), max(pair)) for pair in pairs})
        self._each(self._connection.sadd, company_id, ordered)
        return ordered

    def forget(self, company_id: int, pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Remove pairs.

        Returns:
            The pairs in order, each once, whether they were kept or not.
        """
        ordered = sorted({(min(pair), max(pair)) for pair in pairs})
        self._each(self._connection.srem, company_id, ordered)
        return ordered

    def of(self, company_id: int) -> list[tuple[int, int]]:
        """Read all pairs of a tenant, in order."""
        with vendor_errors(_WHAT):
            found = cast("set[str]", self._connection.smembers(_key(company_id)))
        return sorted((int(one), int(other)) for one, _, other in (text.partition(",") for text in found))

    @staticmethod
    def _each(command: Callable[..., object], company_id: int, pairs: Sequence[tuple[int, int]]) -> None:
        with vendor_errors(_WHAT):
            for start in range(0, len(pairs), _AT_ONCE):
                members = [f"{one},{other}" for one, other in pairs[start : start + _AT_ONCE]]
                command(_key(company_id), *members)


def pairs_of(meta_ids: Iterable[int]) -> list[tuple[int, int]]:
    """All pairs of pictures no two of which are duplicates.

    Raises:
        InvalidMessage: they are less than two, or one is no signed 64-bit integer.
    """
    distinct = list(meta_ids)
    for meta_id in distinct:
        _check(meta_id)
    if len(set(distinct)) < _PAIR:
        raise InvalidMessage(f"a decision names two different pictures at the least, not {distinct}")
    return list(combinations(sorted(set(distinct)), 2))


def _check(number: object) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or number not in _INT64:
        raise InvalidMessage(f"not a signed 64-bit integer: {number!r}")


def _key(company_id: int) -> str:
    _check(company_id)
    return f"{{lookalike}}:distinct:{company_id:d}"
