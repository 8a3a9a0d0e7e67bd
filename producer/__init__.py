"""The client of Lookalike: what an application installs to enqueue pictures and to search.

    from producer import Client

    with Client.from_env() as client:
        client.enqueue("photos/1.jpg", meta_id=1, company_id=7)
        client.search(object_key="photos/2.jpg", company_id=7)

Names are loaded when they are first used: the command line shares this package, and `lookalike --help` should not wait
for Celery.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contract import (
        InvalidMessage,
        LookalikeError,
        Overloaded,
        QueryNotFound,
        QueryRejected,
        ServiceUnavailable,
        UploadEvent,
    )
    from producer.client import Client
    from producer.enqueuing import EnqueueResult
    from producer.errors import Interrupted, InvalidEvent, PartlyEnqueued, TaskFailed
    from producer.settings import ClientSettings, SettingsError
    from producer.status import Status
    from producer.tracing import traced
else:
    _HOMES = {
        "Client": "producer.client",
        "ClientSettings": "producer.settings",
        "EnqueueResult": "producer.enqueuing",
        "Interrupted": "producer.errors",
        "InvalidEvent": "producer.errors",
        "PartlyEnqueued": "producer.errors",
        "SettingsError": "producer.settings",
        "Status": "producer.status",
        "TaskFailed": "producer.errors",
        "traced": "producer.tracing",
    }

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES.get(name, "contract")), name)


__all__ = [
    "Client",
    "ClientSettings",
    "EnqueueResult",
    "Interrupted",
    "InvalidEvent",
    "InvalidMessage",
    "LookalikeError",
    "Overloaded",
    "PartlyEnqueued",
    "QueryNotFound",
    "QueryRejected",
    "ServiceUnavailable",
    "SettingsError",
    "Status",
    "TaskFailed",
    "UploadEvent",
    "traced",
]
