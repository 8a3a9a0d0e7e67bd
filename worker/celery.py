"""The Celery application that `celery -A worker` finds."""

import gc
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final, NamedTuple

import structlog
from celery import Task, signals
from celery.concurrency.prefork import TaskPool as ProcessPool

from contract import SEARCH_QUEUE, SWEEP, LookalikeError
from producer import logs, secret_files, tracing
from producer.app import make_app
from producer.consumption import Consumption
from producer.publisher import Publisher
from producer.settings import ClientSettings, LogSettings, SettingsError
from worker import metrics, tasks
from worker.runtimes import Runtimes
from worker.settings import WorkerSettings

log = structlog.get_logger(__name__)

_PUT_BACK: Final = "unacked_restore_limit"
_FLOWER_PASSWORD: Final = "FLOWER_BASIC_AUTH"  # noqa: S105 - a name


@contextmanager
def _settings_errors() -> Iterator[None]:
    """End the process with one line that names the variable."""
    try:
        yield
    except (SettingsError, secret_files.SecretFileError) as error:
        sys.exit(f"lookalike: {error}")


class _Running(NamedTuple):
    """A task at hand: when it began, by the monotonic clock, and what ends with it."""

    begun: float
    stack: ExitStack


# By thread, not by the task's id: of a message that was delivered twice, both may be at hand at once.
_running: Final[dict[int, _Running]] = {}

with _settings_errors():
    app = make_app("lookalike", ClientSettings.from_env())
    # Flower takes its password from an option or a variable only, and comes by here before it looks.
    if password := secret_files.value_of(_FLOWER_PASSWORD, os.environ):
        os.environ[_FLOWER_PASSWORD] = password
# Only workers put back what others did not acknowledge: Flower's user of Redis may not.
app.conf.broker_transport_options = {**app.conf.broker_transport_options, _PUT_BACK: 0}
runtimes = Runtimes(partial(Publisher, app), Consumption(app))
tasks.register(app, runtimes)


@signals.setup_logging.connect
def _configure_logs(**_: Any) -> None:
    """Take logging out of Celery's hands."""
    with _settings_errors():
        logs.configure(LogSettings.from_env())


@signals.worker_init.connect
def _require_settings(**_: Any) -> None:
    """A worker that is not configured stops here, before it takes a message. Beat and Flower need less."""
    with _settings_errors():
        WorkerSettings.from_env()
    del app.conf.broker_transport_options[_PUT_BACK]


@signals.celeryd_after_setup.connect
def _know_own_queues(sender: str, instance: Any, **_: Any) -> None:
    """A blown fuse stops every queue of this worker but that of the searches, which write nothing.

    Before the pool is made, so that its processes know it too.
    """
    runtimes.consumption = Consumption(app, sender, instance.app.amqp.queues.consume_from.keys() - {SEARCH_QUEUE})


@signals.worker_process_init.connect
def _begin_in_pool(**_: Any) -> None:
    """A child that was killed with its fuse blown must not leave a worker that never consumes again."""
    runtimes.current().inherit()
    _begin()


@signals.worker_ready.connect
def _begin_in_threads(sender: Any, **_: Any) -> None:
    """The main process of a pool of processes answers no searches, and forks, which gRPC does not survive."""
    if not isinstance(sender.pool, ProcessPool):
        _begin()


def _begin() -> None:
    tracing.configure("lookalike-worker")
    # What was imported stays. Unless the collector is told so, it looks through all of it again after every few calls
    # of a hundred queries, for some 80 ms of processor time.
    gc.freeze()
    if SEARCH_QUEUE in app.amqp.queues.consume_from:
        runtimes.current().warm()


@signals.worker_ready.connect
def _serve_metrics(**_: Any) -> None:
    settings = WorkerSettings.from_env()
    metrics.describe(settings.hash)
    _serve(settings)


@signals.beat_init.connect
def _serve_metrics_of_beat(**_: Any) -> None:
    metrics.describe(())
    signals.after_task_publish.connect(_count_sweep, sender=SWEEP, weak=False)
    with _settings_errors():
        _serve(LogSettings.from_env())


def _count_sweep(**_: Any) -> None:
    metrics.count_sweep(time.time())


def _serve(settings: LogSettings) -> None:
    """Serve the metrics where that is wanted. What cannot listen works all the same."""
    if settings.metrics_port is None:
        return
    try:
        metrics.serve(settings.metrics_host, settings.metrics_port)
    except OSError as error:
        log.error("metrics_not_served", host=settings.metrics_host, port=settings.metrics_port, error=str(error))  # noqa: TRY400 - no traceback is wanted


@signals.task_prerun.connect
def _bind(task_id: str, task: "Task[Any, Any]", kwargs: dict[str, Any], **_: Any) -> None:
    structlog.contextvars.clear_contextvars()
    trace, stack = tracing.of_task(task_id, task.request.get(tracing.HEADER)), ExitStack()
    stack.enter_context(tracing.within(trace))
    queue = (task.request.delivery_info or {}).get("routing_key") or ""
    stack.enter_context(tracing.span(task.name, "CONSUMER", tracing.messaging("process", queue)))
    _running[threading.get_ident()] = _Running(time.monotonic(), stack)
    structlog.contextvars.bind_contextvars(task_id=task_id, task=task.name, company_id=logs.companies(kwargs))


@signals.task_failure.connect
def _log_failure(exception: BaseException, **_: Any) -> None:
    """What a caller is told stands in the log too; what it is not told of, Celery logs with its traceback."""
    tracing.fail(exception)
    if isinstance(exception, LookalikeError):
        log.warning("task_refused", error_type=type(exception).__name__, error=str(exception))


@signals.task_postrun.connect
def _unbind(task: "Task[Any, Any]", state: str | None = None, **_: Any) -> None:
    running = _running.pop(threading.get_ident(), None)
    if running is not None:
        running.stack.close()
        metrics.count_task(task.name, state or "UNKNOWN", time.monotonic() - running.begun)
    structlog.contextvars.clear_contextvars()


@signals.worker_shutting_down.connect
def _stop(**_: Any) -> None:
    """Begin the end: what is in hand is finished or handed back, within a bound."""
    runtimes.stop()


@signals.worker_process_shutdown.connect
@signals.worker_shutdown.connect
def _close(**_: Any) -> None:
    runtimes.close()
    tracing.flush()
