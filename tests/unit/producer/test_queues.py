"""How many messages wait, where the broker does not just say a number."""

from typing import Any

import pytest
from amqp.exceptions import AccessRefused, NotFound
from celery import Celery
from kombu import Queue

from contract import ServiceUnavailable
from producer.queues import queue_lengths


@pytest.fixture
def app() -> Celery:
    """An application whose broker is in memory."""
    return Celery("queues", broker="memory://", set_as_current=False)


def says(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Have the broker answer with an error."""

    def declare(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(Queue, "queue_declare", declare)


def test_a_queue_that_does_not_exist_has_no_messages(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    """RabbitMQ has none before its first worker or message."""
    says(monkeypatch, NotFound("no queue 'ingest'"))
    assert queue_lengths(app, ["ingest"]) == {"ingest": 0}


def test_a_queue_that_may_not_be_looked_at_is_an_error(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backlog that nobody may see is not no backlog."""
    says(monkeypatch, AccessRefused("access to queue 'ingest' refused"))
    with pytest.raises(ServiceUnavailable, match="refused"):
        queue_lengths(app, ["ingest"])
