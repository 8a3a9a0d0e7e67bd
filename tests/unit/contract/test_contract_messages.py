"""Decoding is strict: nothing is coerced, and the error names the field."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import (
    InvalidMessage,
    UploadEvent,
    decode_delete,
    decode_event,
    decode_ingest,
    decode_search,
    decode_search_many,
)

INT64 = st.integers(-(2**63), 2**63 - 1)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)
EVENT = {"object_key": "a.jpg", "meta_id": 1, "company_id": 7}
SCOPE = {"company_id": 7}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@given(KEYS, INT64, INT64)
def test_any_key_and_any_int64_is_an_event(object_key: str, meta_id: int, company_id: int) -> None:
    """Whatever fits the types is accepted, and comes out as it went in."""
    raw = {"object_key": object_key, "meta_id": meta_id, "company_id": company_id}
    event = decode_event(raw)
    assert event.model_dump() == raw
    assert decode_event(event) == event


@given(st.sampled_from(["meta_id", "company_id"]), JSON)
def test_what_is_no_int64_is_no_id(field: str, value: Any) -> None:
    """Booleans, floats, strings, lists, null and integers beyond 64 bits are refused, by the field's name."""
    if type(value) is int and -(2**63) <= value < 2**63:
        value = float(value)
    with pytest.raises(InvalidMessage, match=f"^{field}: "):
        decode_event(EVENT | {field: value})


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, True, 7.0, "7", None, [7]])
def test_examples_of_what_is_no_int64(value: Any) -> None:
    """The cases that people send."""
    with pytest.raises(InvalidMessage, match=r"^meta_id: "):
        decode_event(EVENT | {"meta_id": value})


@pytest.mark.parametrize("key", ["", "x" * 1024, "é" * 512, "\ud800", None, 7, b"a.jpg"])
def test_what_is_no_object_key(key: Any) -> None:
    """A key has 1 to 1,023 bytes of UTF-8."""
    with pytest.raises(InvalidMessage, match=r"^object_key: "):
        decode_event(EVENT | {"object_key": key})


def test_the_longest_key() -> None:
    """1,023 bytes are allowed, however many letters they make."""
    for key in ("x" * 1023, "é" * 511 + "x"):
        assert decode_event(EVENT | {"object_key": key}).object_key == key


@pytest.mark.parametrize("raw", [None, 7, "event", [], [EVENT]])
def test_an_event_is_an_object(raw: Any) -> None:
    """Other JSON values are refused."""
    with pytest.raises(InvalidMessage):
        decode_event(raw)


def test_unknown_and_missing_fields() -> None:
    """A field that we do not know may be one that we should have heeded; a missing one is named."""
    with pytest.raises(InvalidMessage, match=r"^tag: "):
        decode_event(EVENT | {"tag": "x"})
    with pytest.raises(InvalidMessage, match=r"^company_id: "):
        decode_event({"object_key": "a.jpg", "meta_id": 1})


def test_an_error_shows_no_values() -> None:
    """What was sent may be private, or 5 MB long."""
    with pytest.raises(InvalidMessage) as caught:
        decode_event(EVENT | {"meta_id": "sesame"})
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("count", [0, 101])
def test_a_message_carries_1_to_100_events(count: int) -> None:
    """Neither none nor 101."""
    with pytest.raises(InvalidMessage, match=r"^events: "):
        decode_ingest({"events": [EVENT] * count})
    with pytest.raises(InvalidMessage, match=r"^items: "):
        decode_delete({"items": [{"meta_id": 1, "company_id": 7}] * count})
    with pytest.raises(InvalidMessage, match=r"^queries: "):
        decode_search_many({"queries": [{"object_key": "a"}] * count} | SCOPE)


@given(st.lists(JSON, min_size=1, max_size=100))
def test_an_envelope_takes_bad_events(events: list[Any]) -> None:
    """The envelope is decoded apart from the events, so a bad one costs no other."""
    assert len(decode_ingest({"events": events})) == len(events)


@pytest.mark.parametrize("version", [0, 2, "1", 1.0, True, None])
def test_another_version_is_refused(version: Any) -> None:
    """A message of a later contract may mean something else."""
    with pytest.raises(InvalidMessage, match=r"^version: "):
        decode_ingest({"events": [EVENT], "version": version})


@pytest.mark.parametrize(
    "arguments", [{}, {"events": None}, {"events": "abc"}, {"events": EVENT}, {"events": [EVENT], "queue": "x"}]
)
def test_what_is_no_envelope(arguments: dict[str, Any]) -> None:
    """Missing, wrong and unknown arguments are refused."""
    with pytest.raises(InvalidMessage):
        decode_ingest(arguments)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"object_key": None},
        {"object_key": "a.jpg", "meta_id": 1},
        {"vector": "ff", "image": "AA=="},
    ],
)
def test_a_query_has_one_source(query: dict[str, Any]) -> None:
    """Neither none nor two, and the message says which there are."""
    with pytest.raises(InvalidMessage, match=r"one of object_key, image, vector, meta_id is needed, not "):
        decode_search({"query": query} | SCOPE)


@pytest.mark.parametrize("vector", ["", "f", "xy", "ff ", "ffé", 255, ["ff"]])
def test_a_vector_is_hexadecimal(vector: Any) -> None:
    """Whole bytes, nothing else. Its length is the hash profile's affair."""
    with pytest.raises(InvalidMessage, match=r"^query\.vector: "):
        decode_search({"query": {"vector": vector}} | SCOPE)


@given(st.binary(min_size=1, max_size=64))
def test_a_vector_in_either_case(vector: bytes) -> None:
    """Upper and lower case mean the same bits."""
    for text in (vector.hex(), vector.hex().upper()):
        assert decode_search({"query": {"vector": text}} | SCOPE)[0].vector == vector


@pytest.mark.parametrize("image", ["", "A", "AA", "AAAA\n", "A-_=", "AA==AA==", "é", 7])
def test_an_image_is_base64(image: Any) -> None:
    """The standard alphabet, padded, without line breaks: what is let through decodes to what was meant."""
    with pytest.raises(InvalidMessage, match=r"^query\.image: "):
        decode_search({"query": {"image": image}} | SCOPE)


@given(st.binary(min_size=1))
def test_an_image_comes_out_as_it_went_in(content: bytes) -> None:
    """Base64 of any bytes is taken; whether they are a picture is for the workers to see."""
    query, _ = decode_search({"query": {"image": base64.b64encode(content).decode()}} | SCOPE)
    assert query.image == content


def test_a_search_is_scoped() -> None:
    """Without a tenant nothing is searched, unless all tenants are asked for in words."""
    query = {"query": {"object_key": "a.jpg"}}
    with pytest.raises(InvalidMessage, match="company_id is required"):
        decode_search(query)
    with pytest.raises(InvalidMessage, match="company_id is required"):
        decode_search(query | {"company_id": None, "all_companies": False})
    assert decode_search(query | {"all_companies": True})[1].company_id is None


@pytest.mark.parametrize(
    "option",
    [
        {"limit": 0},
        {"limit": 1001},
        {"limit": "10"},
        {"limit": True},
        {"max_distance": -1},
        {"max_distance": 1.5},
        {"fresh": 1},
        {"all_companies": "yes"},
        {"company_id": 2**63},
    ],
)
def test_options_out_of_bounds(option: dict[str, Any]) -> None:
    """Each is named in the error."""
    with pytest.raises(InvalidMessage, match=f"^{next(iter(option))}: "):
        decode_search({"query": {"object_key": "a.jpg"}} | SCOPE | option)


def test_a_bad_item_is_named() -> None:
    """A delete is all or nothing, and says which item was wrong."""
    with pytest.raises(InvalidMessage, match=r"^items\.1\.meta_id: "):
        decode_delete({"items": [{"meta_id": 1, "company_id": 7}, {"meta_id": "1", "company_id": 7}]})


def test_events_are_values() -> None:
    """Equal fields make equal events, which cannot be changed."""
    event = decode_event(EVENT)
    assert event == UploadEvent(object_key="a.jpg", meta_id=1, company_id=7)
    assert hash(event) == hash(decode_event(dict(EVENT)))
