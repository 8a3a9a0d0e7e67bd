"""Events of OSS, in every form that they are delivered in, through the real endpoint to rows in Milvus."""

import base64
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import MD5
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from PIL import Image
from pymilvus import MilvusClient

from contract import Reason, row_id
from producer import Client
from producer.listening.authentication import sign
from producer.oss_events import parse
from tests.corpus import encode
from tests.integration.conftest import client_settings
from tests.integration.listening import SECRET, Listening
from tests.integration.processes import ADDRESSES, Worker, on_own_databases, settled, swept
from worker.adapters.oss import OssObjectStore

SAMPLES = Path(__file__).parents[1] / "contract" / "deliveries"
UPLOADS = sorted(
    path.name for path in SAMPLES.iterdir() if path.name not in {"README.md", "removed.json", "ignored.json"}
)
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEY_URL = b"https://gosspublic.alicdn.com/callback_pub_key_v1.pem"
COLLECTION = "listened"
TEMPLATE = "uploads/{company_id}/{meta_id}/{_}"


@pytest.fixture(scope="module")
def environment(stack_env: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Queues and a ledger of this module's own, and a key for callbacks."""
    pem = tmp_path_factory.mktemp("key") / "key.pem"
    pem.write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return {
        **on_own_databases(stack_env, 12),
        "LOOKALIKE_COLLECTION": COLLECTION,
        "LOOKALIKE_KEY_TEMPLATE": TEMPLATE,
        "LOOKALIKE_CALLBACK_PUBLIC_KEY": str(pem),
    }


@pytest.fixture(scope="module")
def worker(
    start_worker: Callable[..., Worker], environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    """A worker of all queues."""
    with start_worker(
        *("-Q", "ingest,search", "-P", "threads", "-c", "8", "-n", "listened@%h"),
        log=tmp_path_factory.mktemp("worker") / "log",
        **{name: environment[name] for name in (*ADDRESSES, "LOOKALIKE_COLLECTION", "LOOKALIKE_KEY_TEMPLATE")},
    ) as worker:
        yield worker


@pytest.fixture(scope="module")
def listening(environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    """The endpoint."""
    with Listening(environment, tmp_path_factory.mktemp("listener") / "log") as listening:
        yield listening


@pytest.fixture
def client(environment: Mapping[str, str]) -> Iterator[Client]:
    """A client of the same ledger."""
    with Client(client_settings(environment)) as client:
        yield client


def row(milvus: MilvusClient, meta_id: int) -> dict[str, Any] | None:
    """The row of a picture of company 7."""
    found = milvus.query(
        f"{COLLECTION}_ahash",
        ids=[row_id(7, meta_id)],
        output_fields=["object_key", "meta_id", "company_id"],
        consistency_level="Strong",
    )
    return dict(found[0]) if found else None


def picture(seed: int) -> bytes:
    """Some picture."""
    return encode(Image.linear_gradient("L").rotate(seed).convert("RGB"), "PNG")


def deliver(listening: Listening, name: str) -> httpx2.Response:
    """Send a sample where it belongs; a callback, as OSS signs it."""
    body = (SAMPLES / name).read_bytes()
    if not name.startswith("callback"):
        return listening.post("/events", body)
    target = f"/callback?token={SECRET}"
    signature = KEY.sign(target.encode() + b"\n" + body, PKCS1v15(), MD5())  # noqa: S303 - as OSS does
    headers = {
        "Authorization": base64.b64encode(signature).decode(),
        "x-oss-pub-key-url": base64.b64encode(KEY_URL).decode(),
    }
    return listening.post(target, body, headers=headers)


def test_every_form_becomes_a_row(
    listening: Listening, worker: Worker, bucket: OssObjectStore, milvus: MilvusClient, client: Client
) -> None:
    """And a delivery that is repeated changes nothing; objects that were removed lose their rows."""
    assert not worker.has_ended
    keys = {}
    for name in UPLOADS:
        (event,) = parse((SAMPLES / name).read_bytes()).events
        keys[name] = event.object_key
        bucket.put(event.object_key, picture(len(keys)))
    for name in UPLOADS:
        answer = deliver(listening, name)
        assert (answer.status_code, answer.json()["accepted"]) == (200, 1), name
    settled(client)
    rows = [row(milvus, n) for n in range(1, len(UPLOADS) + 1)]
    assert {found["object_key"] for found in rows if found is not None} == set(keys.values())
    assert not list(client.dead_letters())

    for name in UPLOADS:
        deliver(listening, name)
    ignored = deliver(listening, "ignored.json")
    assert (ignored.status_code, ignored.json()["ignored"]) == (200, 5)
    settled(client)
    assert [row(milvus, n) for n in range(1, len(UPLOADS) + 1)] == rows

    bucket._bucket.delete_object(keys["eventbridge.json"])  # noqa: SLF001 - workers delete nothing
    assert deliver(listening, "removed.json").json()["accepted"] == 2
    settled(client)
    assert row(milvus, 1) is None, "its object is gone"
    assert row(milvus, 2) == rows[1], "its object is there"


def test_what_is_nobodys_is_a_dead_letter_until_it_is_mapped(
    listening: Listening, worker: Worker, bucket: OssObjectStore, milvus: MilvusClient, client: Client
) -> None:
    """Of class unmapped, with the event as it came; another bucket's too."""
    assert not worker.has_ended
    bucket.put("nobodys/1.png", picture(50))
    record = {"eventName": "ObjectCreated:PutObject", "oss": {"object": {"key": "nobodys/1.png"}}}
    other = {"eventName": "ObjectCreated:PutObject", "oss": {"bucket": {"name": "x"}, "object": {"key": "b/7/1/c"}}}
    assert listening.post("/events", json.dumps({"events": [record, other]}).encode()).status_code == 200
    settled(client)
    letters = list(client.dead_letters())
    assert {letter.reason for letter in letters} == {Reason.UNMAPPED}
    assert {letter.event["object_key"] for letter in letters} == {"nobodys/1.png", "b/7/1/c"}
    client.enqueue("nobodys/1.png", meta_id=50, company_id=7)
    settled(client)
    assert row(milvus, 50) is not None


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer wrong"},
        {"Authorization": ""},
        {"X-Lookalike-Signature": f"t={int(time.time())},v1={sign(b'wrong', int(time.time()), b'{}')}"},
    ],
)
def test_who_does_not_know_the_secret_is_refused(listening: Listening, headers: dict[str, str]) -> None:
    """With a line in the log."""
    before = listening.log.read_text().count('"unauthorized"')
    assert listening.post("/events", b"{}", headers=headers).status_code == 401
    assert listening.post("/callback", b"object=a").status_code == 401
    assert listening.log.read_text().count('"unauthorized"') == before + 2


def test_no_secret_is_in_the_log(listening: Listening) -> None:
    """However it was sent."""
    assert httpx2.post(f"{listening.url}/events?token={SECRET}", content=b"{}").status_code == 400
    assert httpx2.get(f"{listening.url}/nothing?token={SECRET}").status_code == 404
    assert SECRET not in listening.log.read_text()


def test_a_connection_that_says_nothing_is_closed(listening: Listening) -> None:
    """So are headers that drip, while others are served."""
    with socket.create_connection(listening.address) as silent, socket.create_connection(listening.address) as drips:
        ended = threading.Event()

        def drip() -> None:
            try:
                while not ended.wait(0.5):
                    drips.sendall(b"X: y\r\n")
            except OSError:
                pass

        drips.sendall(b"POST /events HTTP/1.1\r\n")
        thread = threading.Thread(target=drip)
        thread.start()
        try:
            for one in (silent, drips):
                one.settimeout(20)
                with suppress(ConnectionResetError):
                    assert one.recv(1000) == b""
            assert httpx2.get(f"{listening.url}/healthz").status_code == 200
        finally:
            ended.set()
            thread.join()


def test_without_a_ledger_nothing_is_acknowledged(environment: Mapping[str, str], tmp_path: Path) -> None:
    """And the endpoint says that it is not well."""
    broken = {**environment, **dict.fromkeys(ADDRESSES, "redis://127.0.0.1:1")}
    with Listening(broken, tmp_path / "log") as listening:
        answer = deliver(listening, "smq_simplified.json")
        assert answer.status_code == 503
        assert "127.0.0.1:1" not in answer.text
        assert httpx2.get(f"{listening.url}/healthz").status_code == 503


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_acknowledged_is_in_the_ledger_when_it_ends(
    environment: Mapping[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    """Whether it is told to stop in the middle of many requests, or killed."""
    moved = on_own_databases(environment, 9)
    acknowledged: list[str] = []
    with Listening(moved, tmp_path / "log") as listening, ThreadPoolExecutor(16) as senders:

        def send(first: int) -> None:
            for n in range(first, 10_000, 16):
                key = f"uploads/7/{n}/a.png"
                record = {"eventName": "ObjectCreated:PutObject", "oss": {"object": {"key": key}}}
                try:
                    answer = listening.post("/events", json.dumps(record).encode())
                except httpx2.HTTPError:
                    return
                if answer.status_code == 200:
                    acknowledged.append(key)

        sending = [senders.submit(send, n) for n in range(16)]
        while len(acknowledged) < 200:
            time.sleep(0.01)
        ended = listening.stop(number)
        for one in sending:
            one.result()
    assert ended in {0, -number}
    with redis.Redis.from_url(moved["LOOKALIKE_LEDGER_URL"], decode_responses=True) as server:
        batches = [json.loads(str(server.hget(str(key), "events"))) for key in server.scan_iter("{lookalike}:batch:*")]
    kept = {event["object_key"] for batch in batches for event in batch}
    assert set(acknowledged) <= kept
    assert len(batches) < len(acknowledged), "requests share batches"


def test_a_lost_message_of_the_listener_is_swept_up(
    environment: Mapping[str, str],
    worker: Worker,
    client: Client,
    bucket: OssObjectStore,
    milvus: MilvusClient,
    tmp_path: Path,
) -> None:
    """What was acknowledged is indexed though its message is lost: it is in the ledger."""
    assert not worker.has_ended
    bucket.put("uploads/7/60/a.png", picture(60))
    worker.send(signal.SIGSTOP)
    try:
        with Listening({**environment, "LOOKALIKE_OVERDUE_SECONDS": "1"}, tmp_path / "log") as listening:
            record = {"eventName": "ObjectCreated:PutObject", "oss": {"object": {"key": "uploads/7/60/a.png"}}}
            assert listening.post("/events", json.dumps(record).encode()).status_code == 200
        with redis.Redis.from_url(environment["LOOKALIKE_BROKER_URL"]) as server:
            server.delete("ingest")
    finally:
        worker.send(signal.SIGCONT)
    with swept(environment):
        settled(client)
    assert row(milvus, 60) is not None
