"""Messages as they were released. A file of `tests/contract/golden` is never edited: old producers still send it."""

import json
from pathlib import Path
from typing import Any

import pytest

from contract import (
    InvalidMessage,
    Item,
    UploadEvent,
    decode_delete,
    decode_event,
    decode_ingest,
    decode_search,
    decode_search_many,
)

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
