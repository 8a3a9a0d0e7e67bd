"""The names of tasks and queues. Others build on them: they do not change."""

from typing import Final

INGEST: Final = "lookalike.ingest"
DELETE: Final = "lookalike.delete"
SEARCH: Final = "lookalike.search"
SEARCH_MANY: Final = "lookalike.search_many"
STATS: Final = "lookalike.stats"
SWEEP: Final = "lookalike.sweep"
MEMBERS: Final = "lookalike.members"
THUMBNAILS: Final = "lookalike.thumbnails"
DUPLICATES: Final = "lookalike.duplicates"
EVALUATE: Final = "lookalike.evaluate"
REINDEX: Final = "lookalike.reindex"
BACKFILL: Final = "lookalike.backfill"
OBJECTS: Final = "lookalike.objects"
ROWS: Final = "lookalike.rows"
INSPECT: Final = "lookalike.inspect"

INGEST_QUEUE: Final = "ingest"
SEARCH_QUEUE: Final = "search"
# Events of batches that killed their workers come here one by one. Nobody sends to it but workers.
QUARANTINE_QUEUE: Final = "quarantine"
ALL_QUEUES: Final = (INGEST_QUEUE, QUARANTINE_QUEUE, SEARCH_QUEUE)

# Searches have a queue of their own, so that a backlog of ingest never delays them; the sweep is there for the same
# reason. A delete shares the queue of the uploads whose rows it removes.
QUEUES: Final = {
    INGEST: INGEST_QUEUE,
    DELETE: INGEST_QUEUE,
    SEARCH: SEARCH_QUEUE,
    SEARCH_MANY: SEARCH_QUEUE,
    STATS: SEARCH_QUEUE,
    SWEEP: SEARCH_QUEUE,
    MEMBERS: SEARCH_QUEUE,
    THUMBNAILS: SEARCH_QUEUE,
    DUPLICATES: SEARCH_QUEUE,
    EVALUATE: SEARCH_QUEUE,
    REINDEX: SEARCH_QUEUE,
    BACKFILL: SEARCH_QUEUE,
    OBJECTS: SEARCH_QUEUE,
    ROWS: SEARCH_QUEUE,
    INSPECT: SEARCH_QUEUE,
}
