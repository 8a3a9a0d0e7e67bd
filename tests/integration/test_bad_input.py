"""Whatever comes in, it has a typed end, and nothing else is lost."""

from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery
from PIL import Image
from pymilvus import MilvusClient

from contract import DeadLetter
from devstack.oss import Fault, FaultClient
from producer import Client
from tests.corpus import encode, photos, png_of
from tests.integration.processes import settled
from worker.adapters.oss import OssObjectStore

GOOD = "good.png"


def event(**changes: Any) -> dict[str, Any]:
    """A good event, changed."""
    return {"object_key": GOOD, "meta_id": 1, "company_id": 20} | changes


@pytest.fixture
def ingest(celery_only: Celery, bucket: OssObjectStore) -> Callable[..., dict[str, int]]:
    """Sends events by plain Celery and waits for the counts."""
    bucket.put(GOOD, photos()["coffee.png"])

    def send(*events: object, **others: Any) -> dict[str, int]:
        arguments = {"events": list(events), **others}
        counts: dict[str, int] = celery_only.send_task("lookalike.ingest", kwargs=arguments, queue="ingest").get(60)
        return counts

    return send


@pytest.fixture
def dead(client: Client) -> Callable[[], list[DeadLetter]]:
    """Reads all dead letters, oldest first."""
    return lambda: list(client.dead_letters())


BAD_EVENTS = [
    event(meta_id=True),
    event(meta_id=1.0),
    event(meta_id="1"),
    event(meta_id=2**63),
    event(meta_id=None),
    event(company_id=-(2**63) - 1),
    event(object_key=""),
    event(object_key="é" * 512),
    event(object_key="half a pair \ud800"),
    event(object_key=5),
    event(colour="red"),
    {"object_key": "a.jpg"},
    "a.jpg",
    None,
]


def test_bad_events_are_dead_letters_and_their_siblings_are_indexed(
    ingest: Callable[..., dict[str, int]], dead: Callable[[], list[DeadLetter]]
) -> None:
    """Each bad event is recorded as it was sent, class `invalid`, with the field; the good ones become rows."""
    before = len(dead())
    counts = ingest(event(meta_id=5), *BAD_EVENTS, event(meta_id=6))
    assert counts == {"indexed": 2, "unchanged": 0, "dead": len(BAD_EVENTS), "retried": 0}
    letters = dead()[before:]
    assert [letter.event for letter in letters] == BAD_EVENTS
    assert {letter.reason for letter in letters} == {"invalid"}
    assert letters[0].error.startswith("meta_id: ")
    assert all(letter.attempts == 1 and letter.first_seen <= letter.last_seen for letter in letters)


def test_bad_objects_are_dead_letters_by_class(
    ingest: Callable[..., dict[str, int]],
    dead: Callable[[], list[DeadLetter]],
    bucket: OssObjectStore,
    client: Client,
) -> None:
    """Empty, text, truncated, EPS, bombs, too many bytes, missing: each has its class, and the sibling its row."""
    photo = encode(Image.effect_noise((400, 300), 90), "JPEG")
    bad = {
        "empty": (b"", "not_an_image"),
        "text": (b"hello", "not_an_image"),
        "truncated": (photo[: len(photo) // 2], "not_an_image"),
        "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EOF\n", "not_an_image"),
        "bomb": (png_of(30_000, 30_000), "too_large"),
        "pixels": (png_of(9_500, 9_500), "too_large"),
        "bytes": (bytes(8_000_001), "too_large"),
        "missing": (None, "not_found"),
    }
    for name, (body, _) in bad.items():
        if body is not None:
            bucket.put(f"bad/{name}", body)
    before = len(dead())
    counts = ingest(
        *(event(object_key=f"bad/{name}", meta_id=n + 100) for n, name in enumerate(bad)), event(meta_id=99)
    )
    assert counts == {"indexed": 1, "unchanged": 0, "dead": 7, "retried": 1}  # the missing one is looked for again
    settled(client)
    found = {letter.event["object_key"]: letter for letter in dead()[before:]}
    assert {key: letter.reason for key, letter in found.items()} == {
        f"bad/{name}": reason for name, (_, reason) in bad.items()
    }
    assert found["bad/missing"].attempts == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"events": []}, "at least 1"),
        ({"events": [event()] * 101}, "at most 100"),
        ({"events": [event()], "version": 2}, "version"),
        ({"events": [event()], "colour": "red"}, "colour"),
        ({"events": event()}, "events"),
        ({}, "events"),
    ],
)
def test_a_bad_message_fails_with_its_reason(
    celery_only: Celery, dead: Callable[[], list[DeadLetter]], arguments: dict[str, Any], said: str
) -> None:
    """The sender gets InvalidMessage, and what the message carried is in the dead letters."""
    before = len(dead())
    result = celery_only.send_task("lookalike.ingest", kwargs=arguments, queue="ingest")
    with pytest.raises(Exception, match=said) as raised:
        result.get(30)
    assert type(raised.value).__name__ == "InvalidMessage"
    carried = arguments.get("events")
    assert len(dead()) - before == (len(carried) if isinstance(carried, list) and carried else 1)


def test_arguments_without_names_are_refused(celery_only: Celery, dead: Callable[[], list[DeadLetter]]) -> None:
    """A message by position is told so, and what it carried is in the dead letters."""
    before = len(dead())
    result = celery_only.send_task("lookalike.ingest", args=[[event()]], queue="ingest")
    with pytest.raises(Exception, match="by name"):
        result.get(30)
    (letter,) = dead()[before:]
    assert letter.event == {"arguments not given by name": [[event()]]}


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=503, times=2),
        Fault("reset", times=2),
        Fault("truncate", times=2),
        Fault("corrupt", times=2),
        Fault("status", status=404, code="NoSuchKey", times=2),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
def test_a_transient_failure_is_retried_until_it_works(
    client: Client, bucket: OssObjectStore, faults: FaultClient, milvus: MilvusClient, collection: str, fault: Fault
) -> None:
    """After two failures the row is there, with the right content, and nothing is dead or outstanding."""
    dead_before = client.status().dead
    bucket.put("flaky.png", photos()["rocket.jpg"])
    with faults.active(fault) as rule:
        client.enqueue("flaky.png", meta_id=1, company_id=21)
        settled(client)
        assert faults.hits(rule) == 2
    found = milvus.query(
        collection, filter="company_id == 21", output_fields=["object_key"], consistency_level="Strong"
    )
    assert [row["object_key"] for row in found] == ["flaky.png"]
    client.delete([{"meta_id": 1, "company_id": 21}])
    assert client.status().dead == dead_before
