"""When Redis is down, read-only, full or silent, the caller is told, and nothing is half accepted."""

import os
import signal
import time
from typing import Any

import pytest
import redis

from contract import ServiceUnavailable
from producer import Client, ClientSettings, Interrupted, connections
from producer.ledger import Ledger
from tests.contract.producer.breaking import full, read_only, stopped

PASSWORD = "open-sesame"  # noqa: S105 - what must not be shown
NOBODY = f"redis://:{PASSWORD}@127.0.0.1:1/0"
EVENTS = [{"object_key": f"{number}.jpg", "meta_id": number, "company_id": 7} for number in range(30)]


@pytest.fixture(autouse=True)
def _short_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes back in these tests, so nobody has to wait for it."""
    monkeypatch.setattr(connections, "_RECONNECT_SECONDS", 0.2)


def client_of(broker: str, ledger: str) -> Client:
    """Make a client whose broker and ledger are apart."""
    return Client(ClientSettings(broker_url=broker, result_backend_url=broker, ledger_url=ledger))


def enqueue_fails(client: Client) -> ServiceUnavailable:
    """Enqueue, and return what was raised."""
    with pytest.raises(ServiceUnavailable) as caught:
        client.enqueue("a.jpg", meta_id=1, company_id=7)
    assert PASSWORD not in str(caught.value)
    return caught.value


@pytest.fixture
def broken(own_valkey: Any, request: pytest.FixtureRequest) -> str:
    """A server that takes no writes, for the reason that the test names."""
    url: str = own_valkey.connection_url
    request.param(own_valkey)
    return url


every_way = pytest.mark.parametrize("broken", [read_only, full, stopped], indirect=True)


@every_way
def test_the_ledger_takes_nothing(broken: str, url: str, server: redis.Redis) -> None:
    """Without its entry a batch is not published."""
    with client_of(broker=url, ledger=broken) as client:
        assert "the ledger" in str(enqueue_fails(client))
    assert server.llen("ingest") == 0


@every_way
def test_the_broker_takes_nothing(broken: str, url: str, ledger: Ledger, server: redis.Redis) -> None:
    """A batch that cannot be published leaves no entry."""
    with client_of(broker=broken, ledger=url) as client:
        assert "'ingest'" in str(enqueue_fails(client))
    assert ledger.summary(time.time()).outstanding == 0
    assert server.keys("*batch*") == []


@every_way
def test_searches_and_deletions(broken: str) -> None:
    """They say it too, and none hangs."""
    with client_of(broker=broken, ledger=broken) as client:
        start = time.monotonic()
        with pytest.raises(ServiceUnavailable):
            client.search(object_key="a.jpg", company_id=7, timeout=1)
        with pytest.raises(ServiceUnavailable):
            client.delete([{"meta_id": 1, "company_id": 7}], timeout=1)
        assert time.monotonic() - start < 15


def test_nobody_listens_and_no_password_is_shown() -> None:
    """For every call; the address may be named, the password never."""
    with client_of(broker=NOBODY, ledger=NOBODY) as client:
        enqueue_fails(client)
        for call in (
            lambda: client.search(object_key="a.jpg", company_id=7, timeout=1),
            lambda: client.delete([{"meta_id": 1, "company_id": 7}], timeout=1),
            client.status,
            lambda: list(client.dead_letters()),
        ):
            with pytest.raises(ServiceUnavailable) as caught:
                call()
            assert PASSWORD not in str(caught.value)


def test_a_wrong_password_is_not_shown(own_valkey: Any) -> None:
    """Redis refuses it, and the message says no more than that."""
    address = own_valkey.connection_url.replace("redis://", f"redis://:{PASSWORD}@")
    with redis.Redis.from_url(own_valkey.connection_url) as server:
        server.config_set("requirepass", "another")
    with client_of(broker=address, ledger=address) as client:
        enqueue_fails(client)


def test_a_server_that_does_not_answer(own_valkey: Any, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes the connection and then is silent holds nobody up for longer than the deadline of a socket."""
    monkeypatch.setattr(connections, "_SOCKET_SECONDS", 0.3)
    process = own_valkey._process  # noqa: SLF001 - it has no public name
    with client_of(broker=own_valkey.connection_url, ledger=url) as client:
        client.enqueue("a.jpg", meta_id=1, company_id=7)
        os.kill(process.pid, signal.SIGSTOP)
        try:
            start = time.monotonic()
            enqueue_fails(client)
            assert time.monotonic() - start < 10
        finally:
            os.kill(process.pid, signal.SIGCONT)


def test_a_stream_that_is_interrupted_says_how_far_it_came(url: str, ledger: Ledger, own_valkey: Any) -> None:
    """The batches before are enqueued and stay; of the one that failed nothing is."""
    with client_of(broker=own_valkey.connection_url, ledger=url) as client:

        def stop_after(sent: int) -> None:
            if sent == 20:
                own_valkey.stop()

        with pytest.raises(Interrupted, match=r"20 events are enqueued") as caught:
            client.enqueue_many(EVENTS, batch_size=10, progress=stop_after)
    assert caught.value.accepted == 20
    assert ledger.summary(time.time()).outstanding == 20


def test_a_client_works_on_after_redis_came_back(own_valkey: Any) -> None:
    """Nothing has to be made anew when it takes writes again."""
    with (
        redis.Redis.from_url(own_valkey.connection_url) as server,
        client_of(broker=own_valkey.connection_url, ledger=own_valkey.connection_url) as client,
    ):
        client.enqueue("a.jpg", meta_id=1, company_id=7)
        server.config_set("maxmemory", 1)
        enqueue_fails(client)
        server.config_set("maxmemory", 0)
        server.client_kill_filter(_type="normal", skipme=True)
        client.enqueue("a.jpg", meta_id=2, company_id=7)
        assert server.llen("ingest") == 2
