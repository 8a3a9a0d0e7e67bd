"""What only producers raise, and the one place where a vendor's errors become ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb

from amqp.exceptions import AMQPError
from celery.exceptions import CeleryError
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from contract import InvalidMessage, LookalikeError, ServiceUnavailable


class TaskFailed(LookalikeError):
    """A task ended in an error that the contract does not name: a fault of the workers, not of the call."""


class PartlyEnqueued(LookalikeError):
    """An `enqueue_many` stopped on the way.

    Attributes:
        accepted: how many events, counted from the first, are enqueued. To enqueue one again does no harm.
    """

    def __init__(self, message: str, *, accepted: int = 0) -> None:
        super().__init__(message)
        self.accepted = accepted


class InvalidEvent(PartlyEnqueued, InvalidMessage):
    """An event does not fit the contract. All events before it are enqueued."""


class Interrupted(PartlyEnqueued, ServiceUnavailable):
    """A batch was not taken, by Redis or for a backlog. All before it are enqueued, of it and the rest nothing."""


@contextmanager
def vendor_errors(what: str) -> Iterator[None]:
    """Turn what Celery, kombu, py-amqp, redis-py and the system raise into `ServiceUnavailable`.

    Args:
        what: was being done, for the message: `publishing to 'ingest'`.
    """
    try:
        yield
    except (KombuError, AMQPError, RedisError, CeleryError, OSError) as error:
        raise ServiceUnavailable(f"{what}: {type(error).__name__}: {error}") from error
    except AttributeError as error:
        # What kombu 5.7 raises over a channel that it closed itself, after Redis had refused something.
        if not raised_in(error, "kombu"):
            raise
        raise ServiceUnavailable(f"{what}: the connection was closed") from error


def raised_in(error: Exception, package: str) -> bool:
    """Whether an error that was caught was raised in a module of a package."""
    *_, (frame, _) = walk_tb(error.__traceback__)
    module: str = frame.f_globals.get("__name__", "")
    return module.partition(".")[0] == package
