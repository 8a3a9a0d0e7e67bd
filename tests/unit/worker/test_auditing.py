"""Pages of the bucket and of a collection, and a closer look at objects."""

import pytest

from contract import InvalidMessage, row_id
from contract.audit import Inspecting, WhichObjects, WhichRows, decode_inspect, decode_objects, decode_rows
from worker.core.errors import Transient
from worker.services import auditing
from worker.services.auditing import Auditing
from worker.testing import MAPPER, MemoryIndex, MemoryObjects, make_row

OBJECTS = MemoryObjects(
    {**{f"uploads/7/{n}.jpg": bytes(n) for n in range(1, 26)}, "other": b"1", "tagged": b"2"},
    metadata={"tagged": {"x-oss-meta-company-id": "7", "x-oss-meta-meta-id": "99"}},
)


def made(index: MemoryIndex | None = None, objects: MemoryObjects = OBJECTS) -> Auditing:
    """An audit's worker."""
    return Auditing(objects, index or MemoryIndex(), MAPPER, profile="ahash")


@pytest.mark.parametrize("limit", [1, 10, 26, 27, 28, 100])
def test_all_objects_are_listed(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pages, of several of OSS's own; with the ids that their keys say, and no question to OSS."""
    monkeypatch.setattr(auditing, "PAGE", 4)
    OBJECTS.asked.clear()
    found, after = [], ""
    while True:
        page = made().objects(WhichObjects(after=after, limit=limit))
        found += page["objects"]
        assert len(page["objects"]) <= limit
        if page["next"] is None:
            break
        after = page["next"]
    assert [one["object_key"] for one in found] == sorted(OBJECTS.bodies, key=str.encode)
    known = {one["object_key"]: (one["company_id"], one["meta_id"]) for one in found}
    assert known["uploads/7/25.jpg"] == (7, 25)
    assert known["other"] == known["tagged"] == (None, None)
    assert OBJECTS.asked == []


def test_another_template() -> None:
    """And a prefix."""
    page = made().objects(WhichObjects(prefix="uploads/", limit=1, key_template="uploads/{meta_id}/{company_id}.jpg"))
    assert (page["objects"][0]["company_id"], page["objects"][0]["meta_id"]) == (1, 7)


def test_all_rows_are_read() -> None:
    """In the order of their ids."""
    index = MemoryIndex()
    index.upsert([make_row(n, 7, object_key=str(n)) for n in range(25)])
    found, after = [], -1
    while True:
        page = made(index).rows(WhichRows(after=after, limit=10))
        found += page["rows"]
        if page["next"] is None:
            break
        after = page["next"]
    assert [row["id"] for row in found] == sorted(row_id(7, n) for n in range(25))
    assert {(row["company_id"], row["meta_id"], row["object_key"]) for row in found} == {
        (7, n, str(n)) for n in range(25)
    }


def test_a_closer_look() -> None:
    """Whether it is there, its checksum, whose it is, by its metadata too, and what its picture's row says."""
    index = MemoryIndex()
    index.upsert([make_row(1, 7, object_key="uploads/7/1.jpg", content_crc=5, indexed_at=6), make_row(99, 7)])
    asked = [
        {"object_key": "uploads/7/1.jpg"},
        {"object_key": "tagged"},
        {"object_key": "other"},
        {"object_key": "gone", "company_id": 7, "meta_id": 1},
        {"object_key": "gone"},
    ]
    first, tagged, other, gone, lost = made(index).inspect(decode_inspect({"items": asked}))["items"]
    assert (first["there"], first["crc"], first["company_id"], first["meta_id"]) == (
        True,
        OBJECTS.crc("uploads/7/1.jpg"),
        7,
        1,
    )
    assert first["row"] == {"object_key": "uploads/7/1.jpg", "content_crc": 5, "indexed_at": 6}
    assert (tagged["company_id"], tagged["meta_id"]) == (7, 99)
    assert tagged["row"] is not None
    assert (other["there"], other["company_id"], other["row"]) == (True, None, None)
    assert (gone["there"], gone["crc"], gone["row"]) == (False, None, first["row"])
    assert (lost["there"], lost["company_id"], lost["row"]) == (False, None, None)


def test_the_row_of_another_picture_is_none() -> None:
    """Two pictures may have one primary key."""
    index = MemoryIndex()
    row = make_row(1, 7)
    index.rows[row_id(7, 2)] = row
    (seen,) = made(index).inspect(Inspecting.model_validate({"items": [{"object_key": "uploads/7/2.jpg"}]}))["items"]
    assert seen["row"] is None


def test_a_bucket_that_fails_is_no_missing_object() -> None:
    """Or an audit would remove its row."""
    objects = MemoryObjects(failing={"a": Transient("reset by peer")})
    with pytest.raises(Transient):
        made(objects=objects).inspect(decode_inspect({"items": [{"object_key": "a"}]}))


@pytest.mark.parametrize(
    ("decode", "wrong"),
    [
        (decode_objects, {"limit": 5001}),
        (decode_objects, {"prefix": 5}),
        (decode_objects, {"key_template": "x"}),
        (decode_rows, {"hash": "md5"}),
        (decode_rows, {"limit": 0}),
        (decode_rows, {"after": True}),
        (decode_inspect, {"items": []}),
        (decode_inspect, {"items": [{"object_key": ""}]}),
        (decode_inspect, {"items": [{"object_key": "a", "meta_id": 1}]}),
        (decode_inspect, {"items": [{"object_key": "a"}] * 101}),
    ],
)
def test_a_message_that_does_not_fit(decode: object, wrong: object) -> None:
    """It is refused by name."""
    assert callable(decode)
    with pytest.raises(InvalidMessage):
        decode(wrong)
