"""The main path on servers of other makes: RabbitMQ as the broker, and Debian's Redis for everything."""

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from devstack.oss import Fault, FaultClient
from producer import Client
from tests import servers
from tests.corpus import photos
from tests.integration.conftest import client_settings
from tests.integration.processes import ADDRESSES, Worker, eventually, on_own_databases, settled, swept
from tests.servers import Server
from worker.adapters.oss import OssObjectStore

QUICK = {"LOOKALIKE_LEASE_SECONDS": "2", "LOOKALIKE_OVERDUE_SECONDS": "3"}
MAKES = [
    pytest.param("rabbitmq", marks=pytest.mark.skipif(not servers.RABBITMQ, reason="no rabbitmq-server: make servers")),
    pytest.param("redis", marks=pytest.mark.skipif(not servers.REDIS, reason="no redis-server: make servers")),
]


@pytest.fixture(params=MAKES)
def make(request: pytest.FixtureRequest) -> str:
    """Which server."""
    name: str = request.param
    return name


@pytest.fixture
def server_env(
    make: str, worker_env: Mapping[str, str], tmp_path: Path
) -> Iterator[tuple[Server, Mapping[str, str]]]:
    """A server, and the variables of workers and clients that use it."""
    environment = {**worker_env, **QUICK, "LOOKALIKE_COLLECTION": f"on_{make}"}
    directory = tmp_path / "server"
    directory.mkdir()
    with ExitStack() as running:
        if make == "rabbitmq":
            server, address = running.enter_context(servers.rabbitmq_server(directory))
            environment = on_own_databases(environment, 13) | {"LOOKALIKE_BROKER_URL": address}
        else:
            server, address = running.enter_context(servers.redis_server(directory))
            environment |= {name: f"{address}/{n}" for n, name in enumerate(ADDRESSES)}
        yield server, environment


@pytest.fixture
def start(server_env: tuple[Server, Mapping[str, str]], tmp_path: Path) -> Callable[..., Worker]:
    """Makes workers, to be entered."""

    def make(name: str, queue: str) -> Worker:
        arguments = ["worker", "-l", "info", "-Q", queue, "-P", "threads", "-c", "4", "-n", f"{name}@%h"]
        return Worker(arguments, server_env[1], tmp_path / f"log-{name}")

    return make


def test_the_main_path(
    server_env: tuple[Server, Mapping[str, str]],
    start: Callable[..., Worker],
    bucket: OssObjectStore,
    faults: FaultClient,
) -> None:
    """Enqueue, ingest, search, delete and status, with a worker and the server killed on the way: nothing is lost."""
    server, environment = server_env
    bucket.put("makes/1.png", photos()["coins.png"])
    events = [{"object_key": "makes/1.png", "meta_id": n, "company_id": 5} for n in range(20)]
    with Client(client_settings(environment)) as client, start("search", "search") as search:
        with faults.active(Fault("stall", prefix="makes/", times=None)), start("first", "ingest") as first:
            client.enqueue_many(events[:10], batch_size=1)
            eventually("downloads hang", lambda: faults.count("GET") >= 4)
            eventually("messages wait", lambda: client.status().queues["ingest"] > 0)
            first.send(signal.SIGKILL)
        with start("second", "ingest") as second:
            with swept(environment):
                settled(client, seconds=60)
            with faults.active(Fault("stall", prefix="makes/", times=None)):
                faults.forget_requests()
                client.enqueue_many(events[10:], batch_size=1)
                eventually("downloads hang", lambda: faults.count("GET") >= 4)
                server.kill()
            server.start()
            with swept(environment):
                settled(client, seconds=60)
            assert not second.has_ended
            assert not search.has_ended
            found = client.search(object_key="makes/1.png", company_id=5, limit=30, fresh=True)
            assert sorted(match["meta_id"] for match in found["matches"]) == list(range(20))
            assert client.delete([{"meta_id": 0, "company_id": 5}]) == 1
            status = client.status()
            assert (status.outstanding, status.dead, status.workers) == (0, 0, 2)
            assert status.queues == dict.fromkeys(status.queues, 0)
            assert status.collections == {f"{environment['LOOKALIKE_COLLECTION']}_ahash": 19}
