"""Celery's consumer does not end because its broker went away."""

from collections.abc import Callable

import pytest
import structlog
from celery.utils.imports import symbol_by_name
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.request import Request

from producer.app import make_app
from producer.settings import ClientSettings
from tests.unit.raising import fail_in
from worker.consumer import Consumer, Enduring


def raising_in(module: str) -> Callable[..., None]:
    """A method that raises an AttributeError in a module of that name."""

    def fail(*_: object) -> None:
        fail_in(module)

    return fail


@pytest.fixture
def consumer() -> Consumer:
    """A consumer that never connected."""
    consumer: Consumer = Consumer.__new__(Consumer)
    return consumer


@pytest.fixture
def request_at_hand() -> Enduring:
    """A request that no broker knows."""
    request: Enduring = Enduring.__new__(Enduring)
    request.id = "x"
    return request


def test_workers_have_this_consumer() -> None:
    """By Celery's policy."""
    app = make_app("test", ClientSettings(broker_url="redis://"))
    assert symbol_by_name(app.conf.worker_consumer) is Consumer


def test_kombus_error_at_the_end_of_a_broken_connection_is_survived(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It depends on how far the connection was taken apart, and cannot be had at will."""
    monkeypatch.setattr(CeleryConsumer, "on_connection_error_after_connected", raising_in("kombu.transport.redis"))
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


def test_an_attribute_error_from_elsewhere_is_not_hidden(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a bug, of ours or of Celery's."""
    monkeypatch.setattr(CeleryConsumer, "on_connection_error_after_connected", raising_in("celery.worker.consumer"))
    with pytest.raises(AttributeError):
        consumer.on_connection_error_after_connected(ConnectionError("reset"))


@pytest.mark.parametrize("done", ["acknowledge", "reject"])
def test_a_message_of_a_connection_that_is_gone_ends_no_worker(
    done: str, request_at_hand: Enduring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Celery would take kombu's error for a bug; the message comes again."""
    monkeypatch.setattr(Request, done, raising_in("kombu.transport.redis"))
    with structlog.testing.capture_logs() as logs:
        getattr(request_at_hand, done)()
    assert [line["log_level"] for line in logs] == ["warning"]


@pytest.mark.parametrize("done", ["acknowledge", "reject"])
def test_a_bug_at_the_end_of_a_message_is_not_hidden(
    done: str, request_at_hand: Enduring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An AttributeError that is not kombu's is one."""
    monkeypatch.setattr(Request, done, raising_in("worker.tasks"))
    with pytest.raises(AttributeError):
        getattr(request_at_hand, done)()
