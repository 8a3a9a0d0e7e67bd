"""The status tells what is there."""

import time
from collections.abc import Callable

import pytest
import redis

from contract import SEARCH
from producer import Client, ClientSettings, status
from producer.ledger import Batch, Ledger


@pytest.fixture
def _nobody_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for workers, but do not wait for their answers."""
    monkeypatch.setattr(status, "_PING_SECONDS", 0.1)


@pytest.mark.usefixtures("_nobody_to_wait_for")
def test_where_nothing_is(client: Client) -> None:
    """No queue exists, nobody works: zeros, not errors."""
    assert client.status().as_dict() == {
        "outstanding": 0,
        "oldest_seconds": 0.0,
        "dead": 0,
        "queues": {"ingest": 0, "quarantine": 0, "search": 0},
        "collections": {},
        "workers": 0,
        "fuses": [],
    }


@pytest.mark.usefixtures("_nobody_to_wait_for")
def test_what_waits(client: Client, ledger: Ledger) -> None:
    """Events are counted in the ledger, messages in the queues."""
    client.enqueue_many(
        ({"object_key": "a.jpg", "meta_id": number, "company_id": 7} for number in range(25)), batch_size=10
    )
    ledger.record(Batch("old", [1, 2]), time.time() - 60)
    seen = client.status()
    assert (seen.outstanding, seen.queues) == (27, {"ingest": 3, "quarantine": 0, "search": 0})
    assert 60 <= seen.oldest_seconds < 70


def test_who_works(
    working: Client, monkeypatch: pytest.MonkeyPatch, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    """Workers are counted, and the rows come from a search worker."""
    monkeypatch.setattr(status, "_PING_SECONDS", 0.3)  # polled, because the machine may be busy with other tests
    eventually(lambda: (seen := working.status()).workers == 1 and seen.collections == {"images_ahash": 12})


@pytest.mark.usefixtures("_nobody_to_wait_for")
def test_status_leaves_nothing_behind(
    working: Client, worked_url: str, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    """Asked every minute for a year, it must not fill Redis.

    The worker acknowledges its last task after the answer: until then Redis holds it as unacknowledged.
    """
    with redis.Redis.from_url(worked_url) as server:
        working.status()
        before = set(server.keys())
        for _ in range(3):
            working.status()
        eventually(lambda: set(server.keys()) <= before)
        assert server.scard("_kombu.binding.reply.celery.pidbox") == 0


@pytest.mark.usefixtures("_nobody_to_wait_for")
def test_a_queue_of_another_is_not_counted(client: Client, settings: ClientSettings) -> None:
    """Only the queues of the contract are looked at."""
    with Client(settings) as other:
        other._connections.app.send_task(SEARCH, kwargs={}, queue="elsewhere", ignore_result=True)  # noqa: SLF001
    assert set(client.status().queues) == {"ingest", "quarantine", "search"}
