"""How many messages wait, on any broker."""

from typing import Any

from celery import Celery
from kombu import Queue
from kombu.exceptions import ChannelError

from producer.errors import vendor_errors


def queue_lengths(app: Celery, names: list[str]) -> dict[str, int]:
    """Count the messages that wait in queues.

    Raises:
        ServiceUnavailable: the broker cannot be reached.
    """
    lengths = {}
    with vendor_errors("looking at the queues"), app.connection_for_write() as connection:
        # Such a connection tries for ever by itself.
        connection.ensure_connection(max_retries=1)
        for name in names:
            with connection.channel() as channel:
                try:
                    declared: Any = Queue(name, channel=channel).queue_declare(passive=True)
                    lengths[name] = declared.message_count
                except ChannelError:  # Redis has no empty lists: a queue without messages does not exist
                    lengths[name] = 0
    return lengths
