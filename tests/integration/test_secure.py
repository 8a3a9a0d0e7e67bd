"""A stack with TLS, and a user for each role: everything works on it, and whoever is not known is refused."""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import grpc
import pytest
import redis
from kombu.exceptions import OperationalError
from pymilvus import MilvusClient, MilvusException

from contract import ServiceUnavailable
from devstack import Stack, Workers, acl
from devstack.certificates import Certificates
from devstack.pictures import photos
from producer import Client
from producer.connections import Connections
from producer.metrics import Exporter
from tests.integration.conftest import client_settings
from tests.integration.processes import eventually
from worker.adapters.milvus import MilvusConnection, accounts, connection
from worker.adapters.oss import OssObjectStore
from worker.core.errors import Misconfigured, Transient
from worker.settings import WorkerSettings

COMPANY = 7


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """The stack, with workers and Flower, and this process' environment as a worker's."""
    if not (shutil.which("valkey-server") or shutil.which("redis-server")):
        pytest.skip("no Redis with TLS: apt-get install redis-server")
    with Stack(tmp_path / "stack", secure=True, workers=Workers(processes=1)) as stack:
        for name, value in stack.env.items():
            monkeypatch.setenv(name, value)
        yield stack


# redis-py leaves a socket to the collector whose TLS is refused.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_stack_with_tls_and_users(secure: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enqueue, ingest, search, delete, status, dead letters, Flower: each role does its part, and nothing is refused.

    A wrong password, another certificate authority and a connection without TLS are refused, as is what another role
    may do. No secret stands in what is said or in a log.
    """
    secrets = secrets_of(secure)
    main_path(secure)
    listener_enqueues(secure)
    flower_shows(secure)
    exporter_looks(secure)
    with as_admin(secure) as admin:
        assert admin.acl_log() == []
    redis_comes_back(secure)
    another = Certificates(tmp_path / "another")
    another.make()
    redis_refuses(secure, another, secrets)
    roles_are_kept_apart(secure)
    monkeypatch.setattr(connection, "_CONNECT_SECONDS", 1)
    milvus_refuses(another, secrets)
    for file in (secure.directory / "logs").iterdir():
        text = file.read_text(errors="replace")
        assert text or file.name.startswith("beat")
        assert not [name for name, secret in secrets.items() if secret in text], file.name
    private = [*secure.directory.glob("env*"), *secure.directory.rglob("*.conf"), *secure.directory.rglob("*.key")]
    assert {file.stat().st_mode & 0o077 for file in private if file.name != "glog.conf"} == {0}


def main_path(stack: Stack) -> None:
    """An application, which knows the producer's password only."""
    bodies = photos()
    with closing(OssObjectStore.from_settings(WorkerSettings.from_env())) as bucket:
        for name, body in bodies.items():
            bucket.put(name, body)
        bucket.put("no picture.png", b"no picture")
    with as_admin(stack) as admin:
        # As a worker leaves it that died. Only another worker may put it back, and does when it connects.
        admin.zadd("unacked_index", {"long ago": 1})
    with Client(client_settings(stack.env_of(acl.PRODUCER))) as client:
        for number, name in enumerate(bodies):
            client.enqueue(name, meta_id=number, company_id=COMPANY)
        client.enqueue("no picture.png", meta_id=999, company_id=COMPANY)
        eventually("all pictures are indexed", lambda: client.outstanding() <= 1)
        found = client.search(object_key="coffee.png", company_id=COMPANY, fresh=True)
        assert (found["matches"][0]["object_key"], found["matches"][0]["distance"]) == ("coffee.png", 0)
        assert client.delete([{"meta_id": 0, "company_id": COMPANY}]) == 1
        eventually("what is no picture is a dead letter", lambda: client.outstanding() == 0)
    with as_admin(stack) as admin:
        assert admin.zscore("unacked_index", "long ago") == 1
    variables = stack.env_of(acl.PRODUCER)
    status = json.loads(lookalike(variables, "status", "--json").stdout)
    assert (status["workers"], status["dead"]) == (3, 1)
    assert status["collections"] == {"images_ahash": len(bodies) - 1}
    (letter,) = lookalike(variables, "dead", "list", "--json").stdout.splitlines()
    assert json.loads(letter)["reason"] == "not_an_image"
    with closing(OssObjectStore.from_settings(WorkerSettings.from_env())) as bucket:
        bucket.put("no picture.png", bodies["coffee.png"])
    assert "1 " in lookalike(variables, "dead", "replay", "--reason", "not_an_image").stdout
    lookalike(variables, "duplicates", "--company-id", str(COMPANY), "--json")


def redis_comes_back(stack: Stack) -> None:
    """With all that it knew: it replays its file as the default user, whom it would refuse as a client."""
    with Client(client_settings(stack.env_of(acl.PRODUCER))) as client, as_admin(stack) as admin:
        eventually("all has ended", lambda: client.outstanding() == 0 and not admin.hlen("unacked"))
        stack.restart("valkey")
        assert admin.acl_log() == []
        assert list(client.dead_letters()) == []
        eventually("a worker looked what is to be put back", lambda: admin.zscore("unacked_index", "long ago") is None)
        assert (client.outstanding(), admin.hlen("unacked")) == (0, 0)


def listener_enqueues(stack: Stack) -> None:
    """What listens may enqueue, and may neither search nor ask for results."""
    with Client(client_settings(stack.env_of(acl.LISTENER))) as client:
        client.enqueue_many([{"object_key": "coffee.png", "meta_id": 50, "company_id": COMPANY}])
        client.enqueue("coffee.png", meta_id=51, company_id=COMPANY)
        eventually("they are indexed", lambda: client.outstanding() <= 1)


def flower_shows(stack: Stack) -> None:
    """Flower asks for its password, and sees workers, tasks and queues over TLS."""
    with pytest.raises(HTTPError) as refused:
        flower(stack, "/api/workers", "flower:wrong")
    assert refused.value.code == 401
    eventually("Flower knows the workers", lambda: len(flower(stack, "/api/workers?refresh=1")) == 3)
    eventually("Flower shows tasks", lambda: "lookalike.ingest" in str(flower(stack, "/api/tasks")))
    lengths = flower(stack, "/api/queues/length")["active_queues"]
    assert {"ingest", "search", "quarantine"} <= {queue["name"] for queue in lengths}


def exporter_looks(stack: Stack) -> None:
    """Every source of its figures answers it."""
    looking = Exporter(client_settings(stack.env_of(acl.PRODUCER)), every=5)
    looking.start()
    try:
        eventually("the exporter has looked", lambda: bool(up(looking)))
        assert up(looking) == dict.fromkeys(("broker", "workers", "ledger", "fuses", "collections", "memory"), 1)
    finally:
        looking.stop()


def up(looking: Exporter) -> dict[str, float]:
    """Which sources answered the exporter, 1 for yes."""
    samples = (sample for metric in looking.registry.collect() for sample in metric.samples)
    return {one.labels["source"]: one.value for one in samples if one.name == "lookalike_exporter_up"}


def redis_refuses(stack: Stack, another: Certificates, secrets: Mapping[str, str]) -> None:
    """Every library that connects to Redis refuses another authority, and Redis whoever it does not know."""
    right = stack.env_of(acl.PRODUCER)
    password = secrets[acl.PRODUCER]
    authority = str(Certificates(stack.directory / "tls").authority)
    wrong: dict[str, Callable[[str], str]] = {
        "invalid username-password": lambda url: url.replace(password, "wrong-password"),
        "certificate verify failed": lambda url: url.replace(authority, str(another.authority)),
        "authenticat": lambda url: url.replace(f"producer:{password}@", ""),
        "reset by peer|closed": lambda url: url.replace("rediss://", "redis://").partition("?")[0],
    }
    for said, change in wrong.items():
        variables = {name: change(value) for name, value in right.items()}
        with closing(Connections(client_settings(variables))) as connections:
            backend: Any = connections.app.backend
            broker: Any = connections.app.connection_for_write()
            with pytest.raises(ServiceUnavailable, match=f"(?i){said}") as by_ledger:
                connections.ledger.outstanding()
            with pytest.raises((OperationalError, redis.RedisError), match=f"(?i){said}") as by_broker:
                broker.ensure_connection(max_retries=1)
            with pytest.raises(redis.RedisError, match=f"(?i){said}") as by_results:
                backend.client.get("celery-task-meta-x")
        texts = [str(refused.value) for refused in (by_ledger, by_broker, by_results)]
        assert not [text for text in texts if password in text or "wrong-password" in text]
    told = lookalike(
        {name: value.replace(password, "wrong-password") for name, value in right.items()}, "status", check=False
    )
    assert told.returncode != 0
    assert "username-password" in told.stderr
    assert "wrong-password" not in told.stdout + told.stderr


def roles_are_kept_apart(stack: Stack) -> None:
    """What a role does not need, it may not do."""
    refused: dict[str, list[list[Any]]] = {
        acl.PRODUCER: [["FLUSHALL"], ["KEYS", "*"], ["CONFIG", "GET", "*"], ["HGETALL", "unacked"], ["GET", "other"]],
        acl.WORKER: [["FLUSHALL"], ["CONFIG", "SET", "dir", "/"], ["GET", "other"], ["ACL", "LIST"], ["MONITOR"]],
        acl.MONITOR: [["LPUSH", "ingest", "x"], ["DEL", "{lookalike}:open"], ["GET", "celery-task-meta-x"]],
        acl.LISTENER: [["LPUSH", "search", "x"], ["GET", "celery-task-meta-x"], ["PUBLISH", "/0.celery.pidbox", "x"]],
    }
    for role, commands in refused.items():
        with redis.Redis.from_url(stack.env_of(role)["LOOKALIKE_BROKER_URL"]) as server:
            for command in commands:
                with pytest.raises(redis.exceptions.NoPermissionError):
                    server.execute_command(*command)


def milvus_refuses(another: Certificates, secrets: Mapping[str, str]) -> None:
    """Milvus refuses whoever it does not know, root with the password that everybody knows among them."""
    right = WorkerSettings.from_env()
    strangers: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (Misconfigured, "check username and password", {"milvus_token": "lookalike:wrong-password"}),
        (Misconfigured, "missing authorization", {"milvus_token": ""}),
        (Misconfigured, "LOOKALIKE_MILVUS_CA", {"milvus_ca": another.authority}),
        (Transient, "Socket closed", {"milvus_uri": right.milvus_uri.replace("https", "http")}),
    ]
    for expected, said, change in strangers:
        made = MilvusConnection(right.model_copy(update=change))
        with closing(made), pytest.raises(expected, match=said) as refused, connection.milvus_errors():
            made.client().list_collections()
        assert not [text for text in (*secrets.values(), "wrong-password") if text in str(refused.value)]
    options = connection.authority(right.milvus_ca)
    everybodys = f"{accounts.ROOT}:{accounts.ROOT_AT_FIRST}"
    with pytest.raises(MilvusException):
        MilvusClient(right.milvus_uri, token=everybodys, timeout=1, dedicated=True, **options).list_collections()
    with closing(MilvusClient(right.milvus_uri, token=right.milvus_token, dedicated=True, **options)) as client:
        for forbidden in (partial(client.drop_collection, "images_ahash"), client.list_users):
            with pytest.raises((MilvusException, grpc.RpcError), match=r"(?i)permission"):
                forbidden()


def secrets_of(stack: Stack) -> dict[str, str]:
    """The passwords and keys of the stack, by their names."""
    state = json.loads((stack.directory / "state.json").read_text())
    return {**state["passwords"], "OSS": state["access_key_secret"], "flower": state["flower_password"]}


def as_admin(stack: Stack) -> "redis.Redis":
    """Redis, as its administrator."""
    return redis.Redis.from_url(stack.env_of(acl.ADMIN)["LOOKALIKE_BROKER_URL"])


def lookalike(variables: Mapping[str, str], *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Run a command with these variables, and no others of Lookalike's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LOOKALIKE_", "OSS_"))}
    command = [str(Path(sys.executable).with_name("lookalike")), *arguments]
    return subprocess.run(command, env={**kept, **variables}, capture_output=True, text=True, timeout=60, check=check)


def flower(stack: Stack, path: str, user: str | None = None) -> Any:
    """Read a page of Flower's API as JSON."""
    variables = stack.env_of(acl.MONITOR)
    login = base64.b64encode((user or variables["FLOWER_BASIC_AUTH"]).encode()).decode()
    address = urlsplit(variables["LOOKALIKE_FLOWER_URL"])._replace(path=path).geturl()
    with urlopen(Request(address, headers={"Authorization": f"Basic {login}"}), timeout=10) as answer:  # noqa: S310 - ours
        return json.load(answer)
