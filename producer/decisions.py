"""Pairs of pictures that somebody decided are no duplicates, in the ledger's Redis, which never evicts."""

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Final, cast

import redis

from contract import InvalidMessage, ServiceUnavailable

_INT64: Final = range(-(2**63), 2**63)
_AT_ONCE: Final = 1000


class Decisions:
    """A set for each tenant. A pair has no order: the lesser id stands first."""

    def __init__(self, connection: redis.Redis) -> None:
        self._connection = connection

    def record(self, company_id: int, pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Keep pairs of a tenant's meta_ids. Those that are kept already stay.

        Returns:
            The pairs in order, each once.
        """
        ordered = _ordered(company_id, pairs)
        self._each("SADD", company_id, ordered)
        return ordered

    def forget(self, company_id: int, pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Remove pairs.

        Returns:
            The pairs in order, each once, whether they were kept or not.
        """
        ordered = _ordered(company_id, pairs)
        self._each("SREM", company_id, ordered)
        return ordered

    def of(self, company_id: int) -> list[tuple[int, int]]:
        """Read all pairs of a tenant, in order."""
        try:
            found = cast("set[str]", self._connection.smembers(_key(company_id)))
        except redis.RedisError as error:
            raise _unavailable(error) from error
        return sorted((int(one), int(other)) for one, _, other in (text.partition(",") for text in found))

    def _each(self, command: str, company_id: int, pairs: Sequence[tuple[int, int]]) -> None:
        try:
            for start in range(0, len(pairs), _AT_ONCE):
                self._connection.execute_command(command, _key(company_id), *(f"{a},{b}" for a, b in pairs[start : start + _AT_ONCE]))
        except redis.RedisError as error:
            raise _unavailable(error) from error


def pairs_of(meta_ids: Iterable[int]) -> list[tuple[int, int]]:
    """All pairs of pictures no two of which are duplicates."""
    return list(combinations(sorted(set(meta_ids)), 2))


def _ordered(company_id: int, pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    ordered = sorted({(min(pair), max(pair)) for pair in pairs})
    for number in (company_id, *(number for pair in ordered for number in pair)):
        if isinstance(number, bool) or number not in _INT64:
            raise InvalidMessage(f"not a signed 64-bit integer: {number!r}")
    for one, other in ordered:
        if one == other:
            raise InvalidMessage(f"a decision names two pictures, not {one} twice")
    return ordered


def _key(company_id: int) -> str:
    return f"{{lookalike}}:distinct:{company_id:d}"


def _unavailable(error: redis.RedisError) -> ServiceUnavailable:
    return ServiceUnavailable(f"the ledger's Redis: {type(error).__name__}: {error}")
