"""A producer that is killed after it has written its last message into the ledger, and before it publishes it.

It reads the messages from the standard input: a JSON list of lists of events.
"""

import json
import os
import signal
import sys
from typing import Any
from unittest.mock import patch

from producer import Client
from producer.ledger import Batch
from producer.publisher import Publisher


def main() -> None:
    """Enqueue them with the real client, and die."""
    messages: list[list[dict[str, Any]]] = json.load(sys.stdin)
    publish = Publisher.publish

    def publish_or_die(publisher: Publisher, batch: Batch) -> None:
        if batch.events == messages[-1]:
            os.kill(os.getpid(), signal.SIGKILL)
        publish(publisher, batch)

    with patch.object(Publisher, "publish", publish_or_die), Client.from_env() as client:
        for events in messages:
            client.enqueue_many(events, batch_size=len(events))


if __name__ == "__main__":
    main()
