"""Waiting until what is enqueued is indexed."""

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from producer.cli.progress import Bar
    from producer.client import Client

_POLL_SECONDS: Final = 1.0


def settle(client: "Client", bar: "Bar") -> None:
    """Wait until no event is outstanding, of whoever."""
    while outstanding := client.outstanding():
        bar.waiting(outstanding)
        time.sleep(_POLL_SECONDS)
