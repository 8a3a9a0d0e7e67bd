"""Counts of the requests that came, so that a test can say what a client did and did not ask for."""

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestCount:
    """How often one method was used on one key; requests for the bucket itself have the empty key."""

    method: str
    bucket: str
    key: str
    count: int


class RequestLog:
    """Counts requests by method, bucket and key.

    Args:
        limit: how many different ones to remember; beyond it, those that have not come for longest are forgotten.
    """

    def __init__(self, limit: int = 100_000) -> None:
        self._counts: OrderedDict[tuple[str, str, str], int] = OrderedDict()
        self._limit = limit

    def add(self, method: str, bucket: str, key: str) -> None:
        """Count a request."""
        name = (method, bucket, key)
        self._counts[name] = self._counts.get(name, 0) + 1
        self._counts.move_to_end(name)
        if len(self._counts) > self._limit:
            self._counts.popitem(last=False)

    def clear(self) -> None:
        """Forget all."""
        self._counts.clear()

    def counts(self) -> list[RequestCount]:
        """The counts, those that came most recently last."""
        return [RequestCount(*name, count) for name, count in self._counts.items()]
