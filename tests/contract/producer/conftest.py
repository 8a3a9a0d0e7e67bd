"""A real Valkey for the client's tests, and a worker with stand-ins for the tasks."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
import redis
from celery import Celery
from celery.contrib.testing.worker import start_worker

from contract import (
    DELETE,
    SEARCH,
    SEARCH_MANY,
    SEARCH_QUEUE,
    STATS,
    InvalidMessage,
    LookalikeError,
    QueryNotFound,
    QueryRejected,
    ServiceUnavailable,
)
from producer import Client, ClientSettings
from producer.app import make_app

ERRORS: dict[str, Exception] = {
    "raise/InvalidMessage": InvalidMessage("query.vector: 8 bytes are needed, not 4"),
    "raise/QueryNotFound": QueryNotFound("raise/QueryNotFound: no such object"),
    "raise/QueryRejected": QueryRejected("not an image: фото"),
    "raise/ServiceUnavailable": ServiceUnavailable("Milvus does not answer"),
    "raise/KeyError": KeyError("a fault"),
}


@pytest.fixture
def own_valkey(start_valkey: Callable[..., AbstractContextManager[Any]]) -> Iterator[Any]:
    """A server that a test may stop, fill or make read-only."""
    with start_valkey(**{"maxmemory-policy": "noeviction"}) as server:
        yield server


@pytest.fixture
def server(url: str) -> Iterator[redis.Redis]:
    """A view of the test's database from outside."""
    with redis.Redis.from_url(url, decode_responses=True) as connection:
        yield connection


@pytest.fixture
def settings(url: str) -> ClientSettings:
    """Settings for the test's database."""
    return ClientSettings(broker_url=url, result_backend_url=url, ledger_url=url)


@pytest.fixture
def client(settings: ClientSettings) -> Iterator[Client]:
    """A client of the test's database, where nobody works."""
    with Client(settings) as client:
        yield client


def _search_task(query: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Answer with the arguments, unless the object's key asks for something else."""
    key = query.get("object_key", "")
    if key in ERRORS:
        raise ERRORS[key]
    if key == "slow":
        time.sleep(0.4)
    return {"hash": "ahash", "matches": [], "asked": {"query": query, **options}}


@pytest.fixture(scope="session")
def worked_url(valkey: str) -> Iterator[str]:
    """The address of a database where a worker answers, with stand-ins under the contract's names.

    One for all tests: Celery stops every worker of a process when it stops one.
    """
    url = f"{valkey}/0"
    app = make_app("stand-ins", ClientSettings(broker_url=url, result_backend_url=url, ledger_url=url))
    # shared=False: otherwise Celery registers a task with every application that the process makes later.
    app.task(name=SEARCH, throws=(LookalikeError,), shared=False)(_search_task)

    @app.task(name=SEARCH_MANY, shared=False)
    def search_many(queries: list[Any], **options: Any) -> dict[str, Any]:
        return {"hash": "ahash", "results": [[] for _ in queries], "asked": {"queries": queries, **options}}

    @app.task(name=DELETE, shared=False)
    def delete(items: list[Any], **_: Any) -> dict[str, int]:
        return {"deleted": len(items)}

    @app.task(name=STATS, shared=False)
    def stats() -> dict[str, Any]:
        return {"collections": {"images_ahash": 12}}

    with start_worker(
        app,
        pool="threads",
        concurrency=8,
        queues=[SEARCH_QUEUE, "ingest"],
        perform_ping_check=False,
        loglevel="critical",
    ):
        yield url


@pytest.fixture
def working(worked_url: str) -> Iterator[Client]:
    """A client of a database where a worker answers."""
    with Client(ClientSettings(broker_url=worked_url, result_backend_url=worked_url, ledger_url=worked_url)) as client:
        yield client


@pytest.fixture
def plain(worked_url: str) -> Iterator[Celery]:
    """What an application has that knows nothing of us but our names: Celery, and the address."""
    app = Celery("elsewhere", broker=worked_url, backend=worked_url, set_as_current=False)
    yield app
    app.close()


@pytest.fixture(scope="session")
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Poll for a condition, for ten seconds at the most."""

    def poll(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true"
            time.sleep(0.01)

    return poll
