"""Celery's consumer does not end because its broker went away."""

import pytest
import structlog
from celery.utils.imports import symbol_by_name
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.request import Request

from producer.app import make_app
from producer.settings import ClientSettings
from worker.consumer import Consumer
from worker.tasks import Enduring


@pytest.fixture
def consumer() -> Consumer:
    """A consumer that never connected."""
    consumer: Consumer = Consumer.__new__(Consumer)
    return consumer


def test_workers_have_this_consumer() -> None:
    """By Celery's policy."""
    app = make_app("test", ClientSettings(broker_url="redis://"))
    assert symbol_by_name(app.conf.worker_consumer) is Consumer


def test_kombus_error_at_the_end_of_a_broken_connection_is_survived(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It depends on how far the connection was taken apart, and cannot be had at will."""

    def fail(self: object, exc: Exception) -> None:  # noqa: ARG001
        raise AttributeError("'NoneType' object has no attribute 'hostname'")

    monkeypatch.setattr(CeleryConsumer, "on_connection_error_after_connected", fail)
    with structlog.testing.capture_logs() as logs:
        consumer.on_connection_error_after_connected(ConnectionError("reset"))
    assert [line["event"] for line in logs] == ["messages_not_given_back"]


def test_other_errors_are_not_hidden(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the one that is known is."""

    def fail(self: object, exc: Exception) -> None:  # noqa: ARG001
        raise KeyError("another")

    monkeypatch.setattr(CeleryConsumer, "on_connection_error_after_connected", fail)
    with pytest.raises(KeyError):
        consumer.on_connection_error_after_connected(ConnectionError("reset"))


@pytest.mark.parametrize("done", ["acknowledge", "reject"])
def test_a_message_of_a_connection_that_is_gone_ends_no_worker(done: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery would take kombu's error for a bug; the message comes again."""

    def fail(*_: object) -> None:
        raise AttributeError("'NoneType' object has no attribute 'hostname'")

    monkeypatch.setattr(Request, done, fail)
    request: Enduring = Enduring.__new__(Enduring)
    request.id = "x"
    with structlog.testing.capture_logs() as logs:
        getattr(request, done)()
    assert [line["log_level"] for line in logs] == ["warning"]
