"""What a caller gives becomes the contract's arguments, or an error that names the field."""

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import InvalidMessage, Item, Query, QueryRejected, decode_delete, decode_search, decode_search_many
from producer import arguments as arguments_module
from producer.arguments import delete_arguments, readable, search_arguments, search_many_arguments

SCOPE = {"company_id": 7}


@given(st.binary(min_size=1))
def test_an_image_arrives_as_it_was_given(content: bytes) -> None:
    """What the worker decodes is what the caller gave."""
    query, options = decode_search(search_arguments({"image": content}, SCOPE))
    assert query.image == content
    assert options.company_id == 7


@given(st.binary(min_size=1, max_size=64))
def test_a_vector_arrives_as_it_was_given(vector: bytes) -> None:
    """As bytes or hexadecimal."""
    for given_as in (vector, vector.hex()):
        assert decode_search(search_arguments({"vector": given_as}, SCOPE))[0].vector == vector


def test_queries_of_every_shape() -> None:
    """Mappings and `Query` objects, mixed."""
    queries: list[Any] = [{"object_key": "a"}, Query(meta_id=1), {"image": io.BytesIO(b"GIF"), "vector": None}]
    decoded, _ = decode_search_many(search_many_arguments(queries, SCOPE))
    assert decoded == [Query(object_key="a"), Query(meta_id=1), Query(image=b"GIF")]


def test_items_of_every_shape() -> None:
    """Mappings and `Item` objects, a hundred a message."""
    mappings = [{"meta_id": number, "company_id": 7} for number in range(1, 201)]
    messages = delete_arguments([Item(meta_id=0, company_id=7), *mappings])
    decoded = [decode_delete(message) for message in messages]
    assert [len(items) for items in decoded] == [100, 100, 1]
    assert [item.meta_id for items in decoded for item in items] == list(range(201))


def test_an_item_that_does_not_fit() -> None:
    """The message says where it is, though it is far down."""
    items: list[Any] = [{"meta_id": 1, "company_id": 7}] * 150
    items[120] = {"meta_id": "1", "company_id": 7}
    with pytest.raises(InvalidMessage, match=r"^items 100 to 149: items\.20\.meta_id: "):
        delete_arguments(items)


def test_an_image_that_is_too_large(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A film given by mistake is not read to its end, let alone sent."""
    monkeypatch.setattr(arguments_module, "MAX_IMAGE_BYTES", 10)
    (tmp_path / "film").write_bytes(b"x" * 11)
    file = io.BytesIO(b"x" * 100)
    for image in (b"x" * 11, file, tmp_path / "film"):
        with pytest.raises(QueryRejected, match="larger than the 10 bytes"):
            search_arguments({"image": image}, SCOPE)
    assert file.tell() == 11
    assert search_arguments({"image": b"x" * 10}, SCOPE)["query"]["image"]


def test_a_missing_file(tmp_path: Path) -> None:
    """Is the system's own error."""
    with pytest.raises(FileNotFoundError):
        search_arguments({"image": tmp_path / "nothing.png"}, SCOPE)


@pytest.mark.parametrize("image", ["cat.png", 7, io.StringIO("text"), ["a"]])
def test_what_is_no_image(image: object) -> None:
    """A string could be a path, a URL or base64: say which."""
    with pytest.raises(InvalidMessage, match=r"^query\.image: "):
        search_arguments({"image": image}, SCOPE)


def test_what_is_shown_of_an_image() -> None:
    """Its size; and the message itself is left as it is."""
    message = search_arguments({"image": b"x" * 3000}, SCOPE)
    assert "<3000 bytes>" in readable(message)
    assert len(message["query"]["image"]) == 4000
    assert readable({"items": [{"meta_id": 1}]}) == "{'items': [{'meta_id': 1}]}"
    assert readable({"items": [{"image": "x" * 4000}]}) == "{'items': [{'image': '<3000 bytes>'}]}"
