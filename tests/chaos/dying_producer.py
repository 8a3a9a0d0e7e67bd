"""A producer that is killed after it has written its last message into the ledger, and before it publishes it.

It reads the messages from the standard input: a JSON list of lists of events.
"""

import json
import os
import signal
import sys
from typing import Any
from unittest.mock import patch

from celery import Celery

from producer import Client


def main() -> None:
    """Enqueue them with the real client, and die."""
    messages: list[list[dict[str, Any]]] = json.load(sys.stdin)
    send_task = Celery.send_task

    def send_or_die(app: Celery, name: str, *args: Any, **options: Any) -> Any:
        if options["kwargs"]["events"] == messages[-1]:
            os.kill(os.getpid(), signal.SIGKILL)
        return send_task(app, name, *args, **options)

    with patch.object(Celery, "send_task", send_or_die), Client.from_env() as client:
        for events in messages:
            client.enqueue_many(events, batch_size=len(events))


if __name__ == "__main__":
    main()
