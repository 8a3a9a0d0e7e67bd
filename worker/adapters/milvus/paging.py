"""Reading rows in the order of their primary keys, which Milvus does not: it reads ranges of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

LARGEST_KEY: Final = (1 << 63) - 1
# Milvus returns at most so many rows for a query: "Milvus Limits", topK and query limit.
MOST: Final = 16_384
# Primary keys are uniform: a range in which so much of a page is expected seldom has more than the page.
_FILL: Final = 0.8

Entity = Mapping[str, Any]


def next_page(
    count: Callable[[str], int], read: Callable[[str], Sequence[Entity]], *, after: int, limit: int
) -> list[Entity]:
    """Read the rows that come next.

    Args:
        count: counts the rows that a filter lets through.
        read: reads them, up to 16,384 of them.
        after: a primary key; rows of larger ones come next. Keys begin at 0, so all negative numbers mean the same.
        limit: of rows, 1 to 16,384.

    Returns:
        `limit` rows, in the order of their primary keys; fewer only where there are no more.
    """
    rows: list[Entity] = []
    after = max(after, -1)  # Milvus does not parse the least INT64
    while len(rows) < limit:
        left = count(f"id > {after:d}")
        if not left:
            break
        span = LARGEST_KEY - after
        upto = after + max(1, min(span, int(span * limit * _FILL / left)))
        found = read(_within(after, upto))
        while len(found) == MOST and upto > after + 1:
            # There may be more, and Milvus gives any of them: a smaller range has the first.
            upto = after + (upto - after) // 2
            found = read(_within(after, upto))
        rows += sorted(found, key=lambda row: row["id"])
        after = upto
    return rows[:limit]


def _within(after: int, upto: int) -> str:
    return f"id > {after:d} and id <= {upto:d}"
