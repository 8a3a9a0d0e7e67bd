"""Calling tasks by name and waiting for what they return."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from celery import Celery, states
from celery.exceptions import TaskRevokedError
from celery.exceptions import TimeoutError as ResultTimeout
from celery.result import AsyncResult

from contract import QUEUES, LookalikeError, ServiceUnavailable
from producer import tracing
from producer.arguments import Arguments, readable
from producer.errors import TaskFailed, vendor_errors


class Calls:
    """Sends tasks through one application. All threads share it, and its one connection for results."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def __call__(self, task: str, arguments: Arguments, *, timeout: float) -> Any:
        """Send a task and wait for its result; no worker begins on it after `timeout` seconds.

        Raises:
            LookalikeError: the class that the task raised.
            ServiceUnavailable: also when no worker answered in time, or the broker could not be reached.
            TaskFailed: the task ended in an error that the contract does not name.
        """
        return self._wait(self._send(task, arguments, expires=timeout), task, timeout=timeout)

    def each(self, task: str, messages: Iterable[Arguments], *, timeout: float) -> list[Any]:
        """Send all messages, and wait `timeout` seconds at the most for all results. None expires.

        Raises:
            LookalikeError: as `__call__` does, for the first that fails; those that were sent are done all the same.
        """
        deadline = time.monotonic() + timeout
        sent: list[AsyncResult[Any]] = []
        try:
            sent.extend(self._send(task, message) for message in messages)
            return [self._wait(result, task, timeout=max(0.0, deadline - time.monotonic())) for result in sent]
        finally:
            for result in sent:
                self._forget(result)

    def _send(self, task: str, arguments: Arguments, *, expires: float | None = None) -> AsyncResult[Any]:
        queue = QUEUES[task]
        with (
            _celery_errors(f"publishing to the queue {queue!r}"),
            tracing.span(task, "PRODUCER", tracing.messaging("send", queue)),
        ):
            task_id = tracing.new_task_id()
            return self._app.send_task(
                task,
                task_id=task_id,
                headers=tracing.headers_for(task_id),
                kwargs=arguments,
                kwargsrepr=readable(arguments),
                queue=queue,
                expires=expires,
                add_to_parent=False,
            )

    def _wait(self, result: AsyncResult[Any], task: str, *, timeout: float) -> Any:
        try:
            with _celery_errors(f"waiting for the result of {task}"):
                answer = self._get(result, task, timeout)
                state = result.state
        finally:
            self._forget(result)
        if state == states.SUCCESS:
            return answer
        if isinstance(answer, LookalikeError):
            raise answer
        if isinstance(answer, TaskRevokedError):  # it was still in the queue when it expired
            raise _unanswered(task, timeout)
        raise TaskFailed(f"{task}: {type(answer).__name__}: {answer}")

    def _forget(self, result: AsyncResult[Any]) -> None:
        # Unless forgotten, a result, or the place that waits for one, takes memory here and in Redis. In Redis it is
        # for an hour.
        with suppress(ServiceUnavailable), _celery_errors("forgetting a result"):
            result.forget()

    @staticmethod
    def _get(result: AsyncResult[Any], task: str, timeout: float) -> Any:
        try:
            # disable_sync_subtasks: an application may search inside a task of its own.
            return result.get(timeout=timeout, propagate=False, disable_sync_subtasks=False)
        except ResultTimeout:
            raise _unanswered(task, timeout) from None


@contextmanager
def _celery_errors(what: str) -> Iterator[None]:
    try:
        with vendor_errors(what):
            yield
    except RuntimeError as error:
        # Celery's own, when it lost the connection for results and has not got it back. The next call tries again.
        raise ServiceUnavailable(f"{what}: the connection for results was lost") from error


def _unanswered(task: str, timeout: float) -> ServiceUnavailable:
    return ServiceUnavailable(f"{task}: no worker of the queue {QUEUES[task]!r} answered within {timeout:g} s")
