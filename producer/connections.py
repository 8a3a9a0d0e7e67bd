"""What a client holds open: the application, the ledger, and threads for async callers."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from threading import Event
from typing import Any, Final

from celery import Celery
from celery.exceptions import ImproperlyConfigured
from kombu import pools

from producer.app import make_app
from producer.ledger import Ledger
from producer.settings import ClientSettings, SettingsError

MAX_THREADS: Final = 32
_SOCKET_SECONDS: Final = 10.0
_CONNECT_SECONDS: Final = 5.0
_RECONNECT_SECONDS: Final = 2.0
_serial = count(1)


class Connections:
    """Nothing connects before it is used.

    Raises:
        SettingsError: an address is one that Celery or redis-py cannot use.
    """

    def __init__(self, settings: ClientSettings) -> None:
        with _settings_errors("LOOKALIKE_BROKER_URL"):
            self.app = _client_app(settings)
            self.app.connection_for_write().get_transport_cls()
        with _settings_errors("LOOKALIKE_RESULT_BACKEND_URL"):
            # Made now, because threads that make it together make one each. Its class is the address's choice.
            self._backend: Any = self.app.backend
        with _settings_errors("LOOKALIKE_LEDGER_URL"):
            self.ledger = Ledger.from_url(
                settings.ledger_url,
                sentinel_master=settings.sentinel_master,
                overdue_seconds=settings.overdue_seconds,
                outstanding_max=settings.outstanding_max,
            )
        self.executor = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="lookalike-client")
        # Those who wait for a backlog to shrink may do so for ever, and closing waits for them.
        self.closing = Event()

    def close(self) -> None:
        """Wait for the calls under way in the threads, then close everything."""
        self.closing.set()
        self.executor.shutdown(cancel_futures=True)
        broker = self.app.connection_for_write()
        for group in (pools.producers, pools.connections):
            group[broker].force_close_all()
            del group[broker]
        self._backend.result_consumer.stop()
        self._backend.client.connection_pool.disconnect()
        self.app.close()
        self.ledger.close()


@contextmanager
def _settings_errors(variable: str) -> Iterator[None]:
    try:
        yield
    except (ImportError, ImproperlyConfigured, LookupError, ValueError) as error:
        raise SettingsError(f"{variable}: {error}") from None


def _client_app(settings: ClientSettings) -> Celery:
    """Make an application for one that is called by people who wait: every operation of a socket has its deadline."""
    app = make_app("lookalike-client", settings)
    app.conf.update(
        broker_transport_options={
            **app.conf.broker_transport_options,
            "socket_timeout": _SOCKET_SECONDS,
            "socket_connect_timeout": _CONNECT_SECONDS,
            # The same for RabbitMQ. Each broker ignores the names of the other's.
            "read_timeout": _SOCKET_SECONDS,
            "write_timeout": _SOCKET_SECONDS,
            "connect_timeout": _CONNECT_SECONDS,
            # kombu shares pools of connections between all that have the same options. This makes ours our own, so
            # that closing it takes no connection from another client or from the host application.
            "lookalike_client": next(_serial),
        },
        # One connection waits for the results of all threads; otherwise each thread keeps its own.
        result_backend_thread_safe=True,
        redis_socket_timeout=_SOCKET_SECONDS,
        redis_socket_connect_timeout=_CONNECT_SECONDS,
        result_backend_transport_options={
            **app.conf.result_backend_transport_options,
            "retry_policy": {"timeout": _RECONNECT_SECONDS},
        },
    )
    return app
