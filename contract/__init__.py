"""What producers and workers agree on: task and queue names, messages, errors, row identity.

It needs neither Celery nor a vendor's SDK. With Celery beside it, it is all that an application needs to speak to
Lookalike:

    app.send_task(contract.INGEST, kwargs=..., queue=contract.QUEUES[contract.INGEST])
"""

from contract.errors import (
    InvalidMessage,
    LookalikeError,
    Overloaded,
    QueryNotFound,
    QueryRejected,
    ServiceUnavailable,
)
from contract.identity import row_id
from contract.messages import (
    MAX_EVENTS,
    MAX_LIMIT,
    VERSION,
    Item,
    Query,
    SearchOptions,
    UploadEvent,
    decode_delete,
    decode_event,
    decode_ingest,
    decode_search,
    decode_search_many,
)
from contract.names import (
    ALL_QUEUES,
    DELETE,
    INGEST,
    INGEST_QUEUE,
    QUARANTINE_QUEUE,
    QUEUES,
    SEARCH,
    SEARCH_MANY,
    SEARCH_QUEUE,
    STATS,
    SWEEP,
)
from contract.results import DeadLetter, DeleteResult, IngestResult, Match, Reason, SearchManyResult, SearchResult

__all__ = [
    "ALL_QUEUES",
    "DELETE",
    "INGEST",
    "INGEST_QUEUE",
    "MAX_EVENTS",
    "MAX_LIMIT",
    "QUARANTINE_QUEUE",
    "QUEUES",
    "SEARCH",
    "SEARCH_MANY",
    "SEARCH_QUEUE",
    "STATS",
    "SWEEP",
    "VERSION",
    "DeadLetter",
    "DeleteResult",
    "IngestResult",
    "InvalidMessage",
    "Item",
    "LookalikeError",
    "Match",
    "Overloaded",
    "Query",
    "QueryNotFound",
    "QueryRejected",
    "Reason",
    "SearchManyResult",
    "SearchOptions",
    "SearchResult",
    "ServiceUnavailable",
    "UploadEvent",
    "decode_delete",
    "decode_event",
    "decode_ingest",
    "decode_search",
    "decode_search_many",
    "row_id",
]
