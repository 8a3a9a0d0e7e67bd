"""Messages as they were released. A file of `tests/contract/golden` is never edited: old producers still send it."""

import json
from pathlib import Path
from typing import Any

import pytest

from contract import (
    InvalidMessage,
    Item,
    ObjectEvent,
    UploadEvent,
    decode_backfill,
    decode_delete,
    decode_evaluate,
    decode_event,
    decode_ingest,
    decode_members,
    decode_reindex,
    decode_search,
    decode_search_many,
)
from contract.audit import decode_inspect, decode_objects, decode_rows
from contract.duplicates import decode_duplicates
from contract.thumbnails import decode_thumbnails

GOLDEN = Path(__file__).parents[2] / "contract" / "golden"


def golden(name: str) -> Any:
    """Read a message that was released."""
    return json.loads((GOLDEN / f"{name}.v1.json").read_text(encoding="utf-8"))


def test_ingest_v1() -> None:
    """The envelope decodes with its bad event in it; the good ones decode to what was sent."""
    first, second, bad = decode_ingest(golden("ingest"))
    assert decode_event(first) == UploadEvent(object_key="photos/2024/1.jpg", meta_id=1, company_id=7)
    assert decode_event(second) == UploadEvent(object_key="фото/图片 +1%2F.png", meta_id=-(2**63), company_id=2**63 - 1)
    with pytest.raises(InvalidMessage, match=r"object_key: .*; meta_id: .*; company_id: "):
        decode_event(bad)


def test_ingest_objects_v1() -> None:
    """Events without ids, with all that may be told of them, and events of objects that were removed."""
    plain, told, removed, known = map(decode_event, decode_ingest(golden("ingest_objects")))
    assert plain == ObjectEvent(object_key="uploads/7/1/a.png", source="oss")
    assert told == ObjectEvent(
        object_key="camera/图 +%.png",
        source="oss",
        bucket="pictures",
        variables={"company_id": "7"},
        metadata={"meta_id": "2"},
        key_template="{company_id}/{meta_id}.png",
    )
    assert removed == plain.model_copy(update={"when": "removed"})
    assert known == UploadEvent(object_key="a.png", meta_id=1, company_id=7, when="removed")


def test_backfill_v1() -> None:
    """A call for a part of a backfill, with all that it may say."""
    wanted = decode_backfill(golden("backfill"))
    assert (wanted.prefix, wanted.since, wanted.limit, wanted.most) == ("uploads/图/", 1777877144000, 1000000, 500)
    assert (wanted.dry_run, wanted.skip_unmapped, wanted.restart) == (True, True, True)
    assert wanted.key_template == "uploads/{company_id}/{meta_id}/{_}.jpg"


def test_audit_v1() -> None:
    """Pages of both sides, and a closer look."""
    objects = decode_objects(golden("objects"))
    assert (objects.prefix, objects.after, objects.limit) == ("uploads/图/", "uploads/图/7/1.png", 5000)
    assert objects.key_template == "{__}/{company_id}/{meta_id}.png"
    rows = decode_rows(golden("rows"))
    assert (rows.hash, rows.after, rows.limit) == ("phash.upright", 2**63 - 2, 1)
    wanted = decode_inspect(golden("inspect"))
    assert (wanted.hash, wanted.key_template) == ("ahash", "{company_id}/{meta_id}")
    assert [(one.object_key, one.company_id, one.meta_id) for one in wanted.items] == [
        ("图 +%.png", None, None),
        ("a.png", 7, -1),
    ]


def test_search_v1() -> None:
    """Every option arrives as it was sent."""
    query, options = decode_search(golden("search"))
    assert query.vector == bytes.fromhex("ffd8c0e0f0f8fcfe")
    assert (query.object_key, query.image, query.meta_id) == (None, None, None)
    assert (options.company_id, options.all_companies) == (7, False)
    assert (options.limit, options.max_distance, options.fresh) == (25, 6, True)


def test_search_many_v1() -> None:
    """The four kinds of query decode in their order; what is not given has its default."""
    queries, options = decode_search_many(golden("search_many"))
    by_key, by_image, by_vector, by_meta_id = queries
    assert by_key.object_key == "photos/2024/1.jpg"
    assert by_image.image is not None
    assert by_image.image.startswith(b"GIF89a")
    assert by_vector.vector == b"\x00" * 7 + b"\xff"
    assert by_meta_id.meta_id == 42
    assert (options.company_id, options.all_companies) == (None, True)
    assert (options.limit, options.max_distance, options.fresh) == (10, None, False)


def test_delete_v1() -> None:
    """The items decode in their order."""
    assert decode_delete(golden("delete")) == [Item(meta_id=1, company_id=7), Item(meta_id=-2, company_id=0)]


def test_a_sure_search_v1() -> None:
    """The options that say how sure an answer is to be arrive as they were sent; an older search has their defaults."""
    query, options = decode_search(golden("search_sure"))
    assert query.meta_id == 5
    assert (options.max_distance, options.max_chance, options.hash) == (None, 0.01, "pdq.upright")
    assert (options.collapse, options.members, options.low_quality, options.verify) == (False, 0, True, True)
    _, before = decode_search(golden("search"))
    assert (before.max_chance, before.hash, before.collapse, before.members) == (None, None, True, 10)
    assert (before.low_quality, before.verify) == (False, False)


def test_members_v1() -> None:
    """Which vector, whose, and from where on."""
    which = decode_members(golden("members"))
    assert (which.company_id, which.meta_id, which.hash) == (7, -42, "phash.upright")
    assert (which.all_companies, which.low_quality, which.after, which.limit) == (True, True, 2**62, 1000)


def test_reindex_v1() -> None:
    """What is filled from what."""
    wanted = decode_reindex(golden("reindex"))
    assert (wanted.hash, wanted.source) == ("pdq", "images_ahash")


def test_thumbnails_v1() -> None:
    """Each kind of picture, in the order asked."""
    wanted = decode_thumbnails(golden("thumbnails"))
    indexed, named, given = wanted.items
    assert (indexed.meta_id, indexed.company_id, wanted.side) == (1, 7, 64)
    assert named.object_key == "фото/1.jpg"
    assert given.image is not None
    assert given.image.startswith(b"GIF89a")


def test_duplicates_v1() -> None:
    """The tenant, and how far is near."""
    wanted = decode_duplicates(golden("duplicates"))
    assert (wanted.company_id, wanted.max_distance, wanted.max_chance) == (7, None, 0.01)
    assert (wanted.hash, wanted.low_quality, wanted.restart, wanted.page) == ("dhash", True, False, None)


def test_evaluate_v1() -> None:
    """The sample, and what is asked of it."""
    wanted = decode_evaluate(golden("evaluate"))
    assert (wanted.company_id, wanted.sample, wanted.seed) == (7, 50, 3)
    assert (list(wanted.hashes), wanted.false_match_rate) == (["ahash", "pdq.upright"], 0.001)
