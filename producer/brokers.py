"""A connection to the broker for one question."""

from collections.abc import Iterator
from contextlib import contextmanager

from celery import Celery
from kombu import Connection

from producer.errors import vendor_errors


@contextmanager
def broker_connection(app: Celery, what: str) -> Iterator[Connection]:
    """Connect anew: a pooled connection may have ended with a broker that is back, and only publishing tries again.

    Args:
        app: whose broker it is.
        what: is being done, for the message of an error.

    Raises:
        ServiceUnavailable: the broker cannot be reached, or fails in the block.
    """
    with vendor_errors(what), app.connection_for_write() as connection:
        # Such a connection tries for ever by itself.
        connection.ensure_connection(max_retries=1)
        yield connection
