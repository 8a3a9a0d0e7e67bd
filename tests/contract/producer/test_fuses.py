"""A worker that has stopped is named to all, until it goes on or is not heard of."""

from collections.abc import Callable
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from contract import ServiceUnavailable
from producer import Client, ClientSettings
from producer.app import make_app
from producer.consumption import Consumption
from producer.fuses import BlownFuse, Fuses
from producer.ledger import Ledger

NOW = 1_800_000_000.0
SINCE = "2027-01-15T08:00:00.000+00:00"


def blown(worker: str, why: str = "OSS says 403") -> BlownFuse:
    """A blown fuse."""
    return BlownFuse(worker, "misconfigured", why, SINCE)


@pytest.fixture
def fuses(ledger: Ledger) -> Fuses:
    """The fuses in the test's database."""
    return Fuses(ledger.connection)


def test_what_is_shown_is_read(fuses: Fuses) -> None:
    """By worker, each once, with the last that it said."""
    assert fuses.read(NOW) == []
    fuses.show(blown("b"), NOW)
    fuses.show(blown("a", "first"), NOW)
    fuses.show(blown("a", "second: «é»"), NOW + 1)
    assert fuses.read(NOW + 2) == [blown("a", "second: «é»"), blown("b")]


def test_a_worker_takes_its_own_back(fuses: Fuses) -> None:
    """To do so twice does no harm."""
    fuses.show(blown("a"), NOW)
    fuses.show(blown("b"), NOW)
    for _ in range(2):
        fuses.clear("a")
    assert fuses.read(NOW) == [blown("b")]


def test_who_is_not_heard_of_is_struck_out(fuses: Fuses, server: redis.Redis) -> None:
    """A worker that was killed says nothing for two minutes; whoever reads then removes its entry."""
    fuses.show(blown("killed"), NOW)
    fuses.show(blown("alive"), NOW + 60)
    assert len(fuses.read(NOW + 120)) == 2
    assert fuses.read(NOW + 121) == [blown("alive")]
    assert server.hkeys("{lookalike}:fuses") == ["alive"]


def test_without_redis_there_is_one_error(free_port: int) -> None:
    """Reading and writing fail as all of the ledger does."""
    with redis.Redis(port=free_port, retry=Retry(NoBackoff(), 0)) as nobody:
        away = Fuses(nobody)
        for call in (lambda: away.read(NOW), lambda: away.clear("a"), lambda: away.show(blown("a"), NOW)):
            with pytest.raises(ServiceUnavailable, match="the fuses"):
                call()


def test_the_status_names_them(client: Client, fuses: Fuses, monkeypatch: pytest.MonkeyPatch) -> None:
    """With worker, cause, reason and time."""
    monkeypatch.setattr("producer.status._PING_SECONDS", 0.1)
    monkeypatch.setattr("time.time", lambda: NOW)
    fuses.show(blown("ingest@a"), NOW)
    expected = [{"worker": "ingest@a", "cause": "misconfigured", "why": "OSS says 403", "since": SINCE}]
    assert client.status().as_dict()["fuses"] == expected


def consumes(app: Any, worker: str) -> set[str]:
    """The queues that a worker consumes from."""
    answers = app.control.inspect(destination=[worker], timeout=5).active_queues() or {}
    return {queue["name"] for queue in answers[worker]}


def test_a_worker_stops_consuming_from_some_queues_and_resumes(
    working: Client, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    """Only those are touched, what is sent meanwhile waits, and to say it twice does no harm."""
    app = working._connections.app  # noqa: SLF001 - an application is needed, and this one is there
    ((worker, _),) = (app.control.inspect(timeout=1).ping() or {}).items()
    consumption = Consumption(app, worker, ["ingest"])
    try:
        for _ in range(2):
            consumption.stop()
            assert consumes(app, worker) == {"search"}
        before = working.status().queues["ingest"]
        with pytest.raises(ServiceUnavailable):
            working.delete([{"meta_id": 1, "company_id": 1}], timeout=1.5)
        assert working.status().queues["ingest"] == before + 1
        assert working.search(vector=bytes(8), company_id=1)["hash"] == "ahash"
    finally:
        consumption.resume()
    assert consumes(app, worker) == {"search", "ingest"}
    consumption.resume()
    eventually(lambda: working.status().queues["ingest"] == 0)
    assert working.delete([{"meta_id": 1, "company_id": 1}]) == 1


def test_a_worker_that_does_not_answer_is_an_error(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked knows that nothing is known."""
    monkeypatch.setattr("producer.consumption._REPLY_SECONDS", 0.1)
    consumption = Consumption(client._connections.app, "nobody@nowhere", ["ingest"])  # noqa: SLF001 - as above
    for call in (consumption.stop, consumption.resume):
        with pytest.raises(ServiceUnavailable, match="nobody@nowhere does not answer"):
            call()


def test_without_a_broker_there_is_one_error(free_port: int) -> None:
    """It ends, though Celery's own connections try for ever."""
    url = f"redis://127.0.0.1:{free_port}/0"
    app = make_app("test", ClientSettings(broker_url=url, result_backend_url=url, ledger_url=url))
    with pytest.raises(ServiceUnavailable, match="telling a@b what to consume"):
        Consumption(app, "a@b", ["ingest"]).stop()
    app.close()
