"""Telling a worker, over the broker, which queues to consume from."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, Final

from celery import Celery

from contract import ServiceUnavailable
from producer.brokers import broker_connection

_REPLY_SECONDS: Final = 5.0


class Consumption:
    """The queues that one worker consumes from, or does not for a while.

    Celery's remote control travels by publish and subscribe: what is published while the worker is reconnecting is
    lost. So both methods ask the worker what it consumes from afterwards, and raise `ServiceUnavailable` unless it is
    what was wanted, or when the broker cannot be reached. To call them again does no harm. A queue that was cancelled
    stays so when the worker reconnects.
    """

    def __init__(self, app: Celery, worker: str = "", queues: Iterable[str] = ()) -> None:
        """Nothing connects before it is used.

        Args:
            app: whose broker is used.
            worker: its name, as Celery knows it.
            queues: that are stopped and resumed. Without any, nothing is ever done.
        """
        self.worker: Final = worker
        self._app = app
        self._queues = frozenset(queues)

    def stop(self) -> None:
        """Take no more messages from the queues. What was delivered already stays with the worker."""
        with self._connected() as connection:
            for queue in self._queues:
                self._app.control.cancel_consumer(queue, **self._addressed(connection))
            if left := self._queues & self._active(connection):
                raise ServiceUnavailable(f"{self.worker} still consumes from {', '.join(sorted(left))}")

    def resume(self) -> None:
        """Take messages from the queues again."""
        with self._connected() as connection:
            for queue in self._queues:
                self._app.control.add_consumer(queue, **self._addressed(connection))
            if missing := self._queues - self._active(connection):
                raise ServiceUnavailable(f"{self.worker} does not consume from {', '.join(sorted(missing))}")

    def _connected(self) -> AbstractContextManager[Any]:
        return broker_connection(self._app, f"telling {self.worker} what to consume")

    def _addressed(self, connection: Any) -> dict[str, Any]:
        # With an answer, so that the question that follows comes after what was done.
        return {
            "destination": [self.worker],
            "connection": connection,
            "reply": True,
            "timeout": _REPLY_SECONDS,
        }

    def _active(self, connection: Any) -> frozenset[str]:
        if not self._queues:
            return frozenset()
        asked = self._app.control.inspect(destination=[self.worker], connection=connection, timeout=_REPLY_SECONDS)
        answers = asked.active_queues() or {}
        if self.worker not in answers:
            raise ServiceUnavailable(f"{self.worker} does not answer")
        return frozenset(queue["name"] for queue in answers[self.worker])
