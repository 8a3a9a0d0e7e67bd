"""How many messages wait, on any broker."""

from typing import Any, Final

from celery import Celery
from kombu import Queue
from kombu.exceptions import ChannelError

from producer.brokers import broker_connection

_NOT_FOUND: Final = "404"  # a number in AMQP, a text in what kombu makes of Redis


def queue_lengths(app: Celery, names: list[str]) -> dict[str, int]:
    """Count the messages that wait in queues.

    Raises:
        ServiceUnavailable: the broker cannot be reached.
    """
    lengths = {}
    with broker_connection(app, "looking at the queues") as connection:
        for name in names:
            with connection.channel() as channel:
                try:
                    declared: Any = Queue(name, channel=channel).queue_declare(passive=True)
                    lengths[name] = declared.message_count
                except ChannelError as error:
                    if str(error.reply_code) != _NOT_FOUND:
                        raise
                    # Redis has no empty lists, and RabbitMQ no queue before its first worker or message.
                    lengths[name] = 0
    return lengths
