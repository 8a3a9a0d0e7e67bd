"""What is accepted stands in the ledger and on the queue, in the shape that any Celery application understands."""

import base64
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery

from contract import INGEST, InvalidMessage, UploadEvent
from producer import Client, ClientSettings, InvalidEvent
from producer.ledger import Batch, Ledger
from producer.publisher import Publisher

EVENT = {"object_key": "фото/1.jpg", "meta_id": 1, "company_id": 7}


def events(count: int) -> Iterator[dict[str, Any]]:
    """Make events whose meta_id is their index."""
    return ({"object_key": f"{number}.jpg", "meta_id": number, "company_id": 7} for number in range(count))


def bodies(server: redis.Redis) -> list[Any]:
    """Decode the messages on the ingest queue, the oldest first, as the Celery protocol says."""
    return [json.loads(base64.b64decode(json.loads(raw)["body"])) for raw in reversed(server.lrange("ingest", 0, -1))]


def test_a_message_is_plain_celery(client: Client, server: redis.Redis) -> None:
    """Protocol 2, JSON, the task's name and id in the headers, the contract's arguments by keyword."""
    batch_id = client.enqueue("фото/1.jpg", meta_id=1, company_id=7)
    (raw,) = server.lrange("ingest", 0, -1)
    message = json.loads(raw)
    assert (message["content-type"], message["content-encoding"]) == ("application/json", "utf-8")
    assert (message["headers"]["task"], message["headers"]["id"]) == (INGEST, batch_id)
    assert message["headers"]["ignore_result"] is True
    assert message["headers"]["eta"] is None
    ((args, kwargs, _),) = bodies(server)
    assert (args, kwargs) == ([], {"events": [EVENT], "version": 1})


def test_a_plain_celery_application_receives_it(client: Client, url: str) -> None:
    """Celery that knows nothing of us reads the message from the queue."""
    batch_id = client.enqueue(**EVENT)  # type: ignore[arg-type]
    app = Celery("elsewhere", broker=url, set_as_current=False)
    with app.connection_for_read() as connection, connection.SimpleQueue("ingest") as queue:
        message = queue.get(timeout=5)
        assert (message.headers["task"], message.headers["id"]) == (INGEST, batch_id)
        assert message.payload[1] == {"events": [EVENT], "version": 1}
        message.ack()


def test_the_ledger_knows_what_is_on_the_queue(client: Client, server: redis.Redis) -> None:
    """Under the id of the task, with the same events."""
    batch_id = client.enqueue(**EVENT)  # type: ignore[arg-type]
    recorded = server.hgetall(f"{{lookalike}}:batch:{batch_id}")
    assert json.loads(recorded["events"]) == [EVENT]
    assert (recorded["size"], recorded["attempts"]) == ("1", "0")


def test_enqueue_many_makes_batches(client: Client, server: redis.Redis) -> None:
    """In order, full ones and a rest; progress counts what is enqueued."""
    seen: list[int] = []
    result = client.enqueue_many(events(250), progress=seen.append)
    assert (result.events, result.batches) == (250, 3)
    assert seen == [100, 200, 250]
    sent = [kwargs["events"] for _, kwargs, _ in bodies(server)]
    assert list(map(len, sent)) == [100, 100, 50]
    assert [event["meta_id"] for batch in sent for event in batch] == list(range(250))


def test_enqueue_many_takes_events_and_mappings(client: Client, server: redis.Redis) -> None:
    """Both make the same JSON; nothing makes nothing."""
    client.enqueue_many([UploadEvent(object_key="фото/1.jpg", meta_id=1, company_id=7), EVENT])
    ((_, kwargs, _),) = bodies(server)
    assert kwargs["events"] == [EVENT, EVENT]
    assert client.enqueue_many([]).batches == 0


def test_enqueue_many_asks_for_events_as_it_sends_them(client: Client) -> None:
    """A batch is sent before the next event is asked for: memory does not grow with the stream."""
    asked = 0
    lead = []

    def watched() -> Iterator[dict[str, Any]]:
        nonlocal asked
        for event in events(50):
            asked += 1
            yield event

    client.enqueue_many(watched(), batch_size=10, progress=lambda sent: lead.append(asked - sent))
    assert lead == [0] * 5


def test_an_invalid_event_stops_the_stream(client: Client, server: redis.Redis, ledger: Ledger) -> None:
    """The error names it, and all events before it, also those of its own batch, are enqueued."""
    stream = [*events(13), {"object_key": "bad.jpg", "meta_id": "13", "company_id": 7}, *events(5)]
    with pytest.raises(InvalidEvent, match=r"^event 13 \(counted from 0\): meta_id: ") as caught:
        client.enqueue_many(stream, batch_size=10)
    assert isinstance(caught.value, InvalidMessage)
    assert caught.value.accepted == 13
    assert [len(kwargs["events"]) for _, kwargs, _ in bodies(server)] == [10, 3]
    assert ledger.summary(0.0).outstanding == 13


def test_a_batch_is_handed_back(server: redis.Redis, client: Client, ledger: Ledger) -> None:
    """`publish` sends what the ledger holds already, later if asked, and records nothing."""
    publisher = Publisher(client._connections.app, ledger)  # noqa: SLF001 - a worker has an application of its own
    publisher.publish(Batch("handed-back", [EVENT], attempts=2), countdown=60)
    (raw,) = server.lrange("ingest", 0, -1)
    headers = json.loads(raw)["headers"]
    assert headers["id"] == "handed-back"
    assert headers["eta"] is not None
    assert ledger.summary(0.0).outstanding == 0


def test_the_ledger_comes_first(client: Client, ledger: Ledger) -> None:
    """What is recorded has the time of the publisher's clock."""
    publisher = Publisher(client._connections.app, ledger, clock=lambda: 1000.0)  # noqa: SLF001 - as above
    publisher.accept([EVENT])
    assert ledger.summary(1012.5).oldest_seconds == 12.5


def test_other_variables_of_celery_do_not_redirect(
    settings: ClientSettings, server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`CELERY_BROKER_URL` and `CELERY_RESULT_BACKEND` belong to the host application, not to us."""
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "redis://127.0.0.1:1/0")
    with Client(settings) as client:
        client.enqueue(**EVENT)  # type: ignore[arg-type]
        assert client._connections.app.backend.url == settings.result_backend_url  # type: ignore[attr-defined]  # noqa: SLF001
    assert server.llen("ingest") == 1


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_of_a_fork_has_its_own_connections(client: Client, server: redis.Redis) -> None:
    """As under gunicorn with --preload: parent and child both enqueue, and both messages are whole."""
    client.enqueue("parent.jpg", meta_id=1, company_id=7)
    child = os.fork()
    if child == 0:
        try:
            client.enqueue("child.jpg", meta_id=2, company_id=7)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    client.enqueue("parent.jpg", meta_id=3, company_id=7)
    assert [kwargs["events"][0]["meta_id"] for _, kwargs, _ in bodies(server)] == [1, 2, 3]
