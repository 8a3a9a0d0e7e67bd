"""What `lookalike.backfill` is asked, and what it answers."""

from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

from pydantic import AfterValidator, Field

from contract.decoding import Int64, KeyTemplateText, Versioned, decode_as, within_key_bytes

Prefix = Annotated[str, Field(strict=True), AfterValidator(within_key_bytes)]
Number = Annotated[int, Field(strict=True, ge=1)]


class Backfilling(Versioned):
    """Which objects of the bucket are to be enqueued.

    Attributes:
        prefix: that their keys begin with.
        since: those written then or later, in milliseconds since 1970.
        limit: no more events than so many.
        dry_run: nothing is enqueued, only counted.
        key_template: by which keys are read, in place of the workers' own.
        skip_unmapped: objects that are nobody's picture are only counted; otherwise each becomes a dead letter.
        restart: begin anew, wherever an earlier job of the same objects is.
        most: no more events than so many in this call.
    """

    prefix: Prefix = ""
    since: Int64 | None = None
    limit: Number | None = None
    dry_run: bool = False
    key_template: KeyTemplateText | None = None
    skip_unmapped: bool = False
    restart: bool = False
    most: Number | None = None


class BackfillResult(TypedDict):
    """How far a backfill is.

    Attributes:
        prefix: that was asked for.
        read: objects that were listed.
        enqueued: those of which an event was enqueued, or would have been.
        unmapped: those whose ids cannot be found, as far as the listing tells. Unless they are skipped, they are
            enqueued, and become dead letters.
        skipped: those that were written too early, and folders.
        bytes: the size of those that were enqueued.
        last_key: the last that was read.
        done: whether this was the last call.
    """

    prefix: str
    read: int
    enqueued: int
    unmapped: int
    skipped: int
    bytes: int
    last_key: str
    done: bool


def decode_backfill(arguments: Mapping[str, Any]) -> Backfilling:
    """Decode a call for a part of a backfill. It raises `InvalidMessage`."""
    return decode_as(Backfilling, arguments)
