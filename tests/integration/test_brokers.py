"""The main path on servers of other makes: RabbitMQ as the broker, Debian's Redis for everything, and Sentinel."""

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from contract import ServiceUnavailable
from devstack.certificates import Certificates
from devstack.oss import Fault, FaultClient
from producer import Client, connections, publisher
from tests import servers
from tests.corpus import photos
from tests.integration.conftest import client_settings
from tests.integration.processes import ADDRESSES, Worker, eventually, on_own_databases, settled, swept
from tests.servers import Server
from worker.adapters.oss import OssObjectStore

QUICK = {"LOOKALIKE_LEASE_SECONDS": "2", "LOOKALIKE_OVERDUE_SECONDS": "3"}
NEEDS_RABBITMQ = pytest.mark.skipif(not servers.RABBITMQ, reason="no rabbitmq-server here: make servers")
NEEDS_REDIS = pytest.mark.skipif(not servers.REDIS, reason="no redis-server here: make servers")
MAKES = [pytest.param("rabbitmq", marks=NEEDS_RABBITMQ), pytest.param("redis", marks=NEEDS_REDIS)]


@pytest.fixture(scope="module")
def rabbitmq_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where RabbitMQ has its files."""
    return tmp_path_factory.mktemp("rabbitmq")


@pytest.fixture(scope="module")
def rabbitmq(rabbitmq_folder: Path) -> Iterator[tuple[Server, str]]:
    """Debian's RabbitMQ and its address."""
    with servers.rabbitmq_server(rabbitmq_folder) as running:
        yield running


@pytest.fixture
def own_env(worker_env: Mapping[str, str]) -> dict[str, str]:
    """The stack with databases of Valkey for these tests alone."""
    return {**on_own_databases(worker_env, 13), **QUICK, "LOOKALIKE_COLLECTION": "brokers"}


@pytest.fixture(params=MAKES)
def make(
    request: pytest.FixtureRequest, own_env: dict[str, str], tmp_path: Path
) -> Iterator[tuple[Server, Mapping[str, str]]]:
    """A server, and the variables of workers and clients that use it."""
    environment = own_env | {"LOOKALIKE_COLLECTION": f"on_{request.param}"}
    with ExitStack() as running:
        if request.param == "rabbitmq":
            server, address = request.getfixturevalue("rabbitmq")
            yield server, environment | {"LOOKALIKE_BROKER_URL": address}
        else:
            server, address = running.enter_context(servers.redis_server(tmp_path))
            yield server, environment | {name: f"{address}/{n}" for n, name in enumerate(ADDRESSES)}


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., Worker]:
    """Makes workers, to be entered."""

    def make(name: str, queue: str, environment: Mapping[str, str]) -> Worker:
        arguments = ["worker", "-l", "info", "-Q", queue, "-P", "threads", "-c", "4", "-n", f"{name}@%h"]
        return Worker(arguments, environment, tmp_path / f"log-{name}")

    return make


def found(client: Client, key: str) -> list[int]:
    """The ids of the pictures that look like one."""
    matches = client.search(object_key=key, company_id=5, limit=100, fresh=True, collapse=False)["matches"]
    return sorted(match["meta_id"] for match in matches)


def test_the_main_path(
    make: tuple[Server, Mapping[str, str]],
    start: Callable[..., Worker],
    bucket: OssObjectStore,
    faults: FaultClient,
) -> None:
    """Enqueue, ingest, search, delete and status, with a worker and the server killed on the way: nothing is lost."""
    server, environment = make
    bucket.put("makes/1.png", photos()["coins.png"])
    events = [{"object_key": "makes/1.png", "meta_id": n, "company_id": 5} for n in range(20)]
    with Client(client_settings(environment)) as client, start("search", "search", environment) as search:
        with (
            faults.active(Fault("stall", prefix="makes/", times=None)),
            start("first", "ingest", environment) as first,
        ):
            client.enqueue_many(events[:10], batch_size=1)
            eventually("downloads hang", lambda: faults.count("GET") >= 4)
            eventually("messages wait", lambda: client.status().queues["ingest"] > 0)
            first.send(signal.SIGKILL)
        with start("second", "ingest", environment) as second:
            with swept(environment):
                settled(client)
            with faults.active(Fault("stall", prefix="makes/", times=None)):
                faults.forget_requests()
                client.enqueue_many(events[10:], batch_size=1)
                eventually("downloads hang", lambda: faults.count("GET") >= 4)
                server.kill()
            server.start()
            with swept(environment):
                settled(client)
            assert not second.has_ended
            assert not search.has_ended
            assert found(client, "makes/1.png") == list(range(20))
            assert client.delete([{"meta_id": 0, "company_id": 5}]) == 1
            eventually("both workers are heard of", lambda: client.status().workers == 2)
            status = client.status()
            assert (status.outstanding, status.dead) == (0, 0)
            assert status.queues == dict.fromkeys(status.queues, 0)
            assert status.collections == {f"{environment['LOOKALIKE_COLLECTION']}_ahash": 19}


@NEEDS_RABBITMQ
def test_what_rabbitmq_does_not_confirm_is_not_accepted(
    rabbitmq: tuple[Server, str], own_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that hangs, and one that refuses: the caller hears of it in bounded time, and nothing is outstanding."""
    monkeypatch.setattr(publisher, "_CONFIRM_SECONDS", 0.5)
    monkeypatch.setattr(connections, "_CONNECT_SECONDS", 0.5)
    server, address = rabbitmq
    with Client(client_settings(own_env | {"LOOKALIKE_BROKER_URL": address})) as client:
        client.enqueue("a.png", meta_id=1, company_id=1)
        server.pause()
        try:
            with pytest.raises(ServiceUnavailable):
                client.enqueue("a.png", meta_id=2, company_id=1)
        finally:
            server.resume()
        assert client.outstanding() == 1
        client.enqueue("a.png", meta_id=3, company_id=1)
    refused = address.replace("guest:guest", "guest:wrong")
    with (
        Client(client_settings(own_env | {"LOOKALIKE_BROKER_URL": refused})) as client,
        pytest.raises(ServiceUnavailable, match="ACCESS_REFUSED"),
    ):
        client.enqueue("a.png", meta_id=4, company_id=1)


@NEEDS_RABBITMQ
def test_rabbitmq_with_tls_is_taken_at_its_name_only(
    rabbitmq: tuple[Server, str], rabbitmq_folder: Path, own_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a certificate of a trusted authority for this host; not for another, nor of an unknown authority."""
    assert rabbitmq
    port = (rabbitmq_folder / "tls").read_text()

    def enqueue(host: str) -> None:
        with Client(
            client_settings(own_env | {"LOOKALIKE_BROKER_URL": f"amqps://guest:guest@{host}:{port}//"})
        ) as client:
            client.enqueue("a.png", meta_id=1, company_id=1)

    with pytest.raises(ServiceUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        enqueue("127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(Certificates(rabbitmq_folder / "certificates").authority))
    enqueue("127.0.0.1")
    with pytest.raises(ServiceUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        enqueue("127.1")  # the same host by a name that is not in the certificate


def test_a_fail_over_by_sentinel_loses_nothing_that_was_replicated(
    own_env: dict[str, str], tmp_path: Path, start: Callable[..., Worker], bucket: OssObjectStore, faults: FaultClient
) -> None:
    """The master of broker, results and ledger is killed with events in hand: its replica has them, and goes on."""
    bucket.put("sentinel/1.png", photos()["coins.png"])
    events = [{"object_key": "sentinel/1.png", "meta_id": n, "company_id": 5} for n in range(20)]
    with servers.sentinels(tmp_path) as (master, address):
        environment = own_env | {name: f"{address}/{n}" for n, name in enumerate(ADDRESSES)}
        with (
            Client(client_settings(environment)) as client,
            start("all", "ingest,search", environment) as worker,
        ):
            with faults.active(Fault("stall", prefix="sentinel/", times=None)):
                client.enqueue_many(events[:10], batch_size=1)
                eventually("downloads hang", lambda: faults.count("GET") >= 4)
                eventually("the replica has it all", lambda: servers.replicated(address))
                master.kill()

            def accepted() -> bool:
                with suppress(ServiceUnavailable):
                    return client.enqueue_many(events[10:], batch_size=1).events == 10
                return False

            eventually("the replica is the master", accepted)
            with swept(environment):
                settled(client)
            assert found(client, "sentinel/1.png") == list(range(20))
            assert client.status().dead == 0
            assert not worker.has_ended
