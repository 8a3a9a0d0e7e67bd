"""Whatever OSS sends is read in every form that it is sent in; anything else is refused, and nothing is guessed."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import InvalidMessage, ObjectEvent
from producer.oss_events import Delivery, Form, parse

SAMPLES = Path(__file__).parents[3] / "contract" / "deliveries"
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).filter(
    lambda key: len(key.encode()) <= 1023 and not key.endswith("/")
)


def record(key: str = "a.png", name: str = "ObjectCreated:PutObject", **of_object: Any) -> dict[str, Any]:
    """A record, with as little as is needed."""
    return {"eventName": name, "oss": {"bucket": {"name": "pictures"}, "object": {"key": key, "size": 1, **of_object}}}


def event(key: str = "a.png", **fields: Any) -> ObjectEvent:
    """What becomes of it."""
    return ObjectEvent(**{"object_key": key, "source": "oss", "bucket": "pictures", **fields})


def dump(value: object) -> bytes:
    """JSON."""
    return json.dumps(value).encode()


def xml(message: str) -> bytes:
    """SMQ's envelope."""
    inner = f"<A>1</A><Message>{escape(message)}</Message>"
    return f'<?xml version="1.0"?><Notification xmlns="x">{inner}</Notification>'.encode()


FORMS: dict[str, tuple[Form, Callable[[dict[str, Any]], bytes]]] = {
    "events": (Form.EVENTS, lambda one: dump({"events": [one]})),
    "events in UTF-8": (Form.EVENTS, lambda one: json.dumps({"events": [one]}, ensure_ascii=False).encode("utf-8-sig")),
    "events in base64": (Form.EVENTS, lambda one: base64.b64encode(dump({"events": [one]}))),
    "events in lines of base64": (Form.EVENTS, lambda one: base64.encodebytes(dump({"events": [one]}))),
    "the event alone": (Form.EVENTS, dump),
    "a CloudEvent": (Form.EVENTBRIDGE, lambda one: dump({"specversion": "1.0", "type": "oss:x", "data": one})),
    "CloudEvents": (Form.EVENTBRIDGE, lambda one: dump([{"specversion": "1.0", "type": "oss:x", "data": one}])),
    "a CloudEvent of events": (Form.EVENTBRIDGE, lambda one: dump({"specversion": "1.0", "data": {"events": [one]}})),
    "SMQ": (Form.SMQ, lambda one: dump({"Message": json.dumps({"events": [one]})})),
    "SMQ in base64": (Form.SMQ, lambda one: dump({"Message": base64.b64encode(dump({"events": [one]})).decode()})),
    "SMQ with the event alone": (Form.SMQ, lambda one: dump({"Message": json.dumps(one)})),
    "XML": (Form.SMQ, lambda one: xml(json.dumps({"events": [one]}))),
    "XML in base64": (Form.SMQ, lambda one: xml(base64.b64encode(dump({"events": [one]})).decode())),
    "all of it in base64": (Form.SMQ, lambda one: base64.b64encode(xml(base64.b64encode(dump(one)).decode()))),
}


@pytest.mark.parametrize("form", FORMS)
@given(KEYS)
def test_the_key_arrives_as_it_is(form: str, key: str) -> None:
    """Nothing in it is decoded that was not encoded."""
    expected, write = FORMS[form]
    delivery = parse(write(record(key)))
    assert (delivery.form, delivery.events) == (expected, [event(key)])
    assert not delivery.ignored
    assert not delivery.malformed


@given(KEYS, st.integers(-(2**63), 2**63 - 1))
def test_a_callback_arrives_as_it_was_filled_in(key: str, company_id: int) -> None:
    """A form decodes once; JSON does not."""
    wanted = [event(key, variables={"company_id": str(company_id), "meta_id": "5"})]
    fields = {"bucket": "pictures", "object": key, "size": "1", "company_id": str(company_id), "x:meta_id": "5"}
    for body in (urlencode(fields).encode(), dump({**fields, "company_id": company_id})):
        assert parse(body) == Delivery(Form.CALLBACK, wanted)


@pytest.mark.parametrize(
    ("name", "when"),
    [
        ("ObjectCreated:PutObject", None),
        ("ObjectCreated:PostObject", None),
        ("ObjectCreated:CompleteMultipartUpload", None),
        ("ObjectCreated:CopyObject", None),
        ("oss:ObjectCreated:PutObject", None),
        ("ObjectRemoved:DeleteObject", "removed"),
        ("ObjectRemoved:DeleteObjects", "removed"),
        ("oss:ObjectRemoved:DeleteObject", "removed"),
    ],
)
def test_what_concerns_us(name: str, when: str | None) -> None:
    """A whole new object, or one that is gone."""
    assert parse(dump({"events": [record(name=name)]})).events == [event(when=when)]


@pytest.mark.parametrize(
    "name",
    [
        "ObjectCreated:UploadPart",
        "ObjectCreated:UploadPartCopy",
        "ObjectCreated:InitiateMultipartUpload",
        "ObjectCreated:AppendObject",
        "ObjectRemoved:AbortMultipartUpload",
        "ObjectDownloaded:GetObject",
        "ObjectReplication:ObjectCreated",
        "BucketCreated:PutBucket",
        "",
    ],
)
def test_what_does_not_is_only_named(name: str) -> None:
    """Whatever else is in the record."""
    delivery = parse(dump({"events": [{"eventName": name, "oss": 5}]}))
    assert (delivery.events, delivery.ignored, delivery.malformed) == ([], [name], [])


def test_a_folder_is_no_picture() -> None:
    """Consoles make an empty object of each."""
    assert parse(dump({"events": [record("a/", size=0)]})).ignored == ["ObjectCreated:PutObject"]
    assert parse(dump({"events": [record("a/", size=1)]})).events == [event("a/")]


def test_the_name_of_a_cloud_event_may_be_its_type() -> None:
    """Where its data has none."""
    data = {name: value for name, value in record().items() if name != "eventName"}
    cloud = {"specversion": "1.0", "type": "oss:ObjectRemoved:DeleteObject", "data": data}
    assert parse(dump(cloud)).events == [event(when="removed")]


def test_ids_are_passed_on() -> None:
    """Those of the metadata and of callback variables; metadata that says nothing may not have been told."""
    told = record(objectMeta={"userMeta": {"X-Oss-Meta-Company-Id": "7", "x-oss-meta-other": "8"}})
    told["xVars"] = {"x:meta_id": "42", "x:other": "8"}
    assert parse(dump(told)).events == [event(metadata={"company_id": "7"}, variables={"meta_id": "42"})]
    other = record(objectMeta={"userMeta": {"x-oss-meta-other": "8"}})
    assert parse(dump(other)).events == [event(metadata={})]
    assert parse(dump(record(objectMeta={}))).events == [event()]
    assert parse(dump(record(objectMeta={"userMeta": {}}))).events == [event()]


def test_a_record_that_cannot_be_read_does_not_lose_its_siblings() -> None:
    """It is told of."""
    delivery = parse(dump({"events": [record("a"), {"eventName": "ObjectCreated:PutObject"}, record(""), record("b")]}))
    assert [one.object_key for one in delivery.events] == ["a", "b"]
    assert len(delivery.malformed) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"\xff\xfe",
        b"hello",
        b"aGVsbG8=",
        b"{",
        b"[]",
        b"[1]",
        b"{}",
        b'{"events": 5}',
        b'{"Message": ""}',
        b'{"Message": 5}',
        b"a=b",
        b"object=",
        b"object=%FF",
        b"<a/>",
        b"<a>",
        b"<a><Message/></a>",
        b'<!DOCTYPE a [<!ENTITY m "x">]><a><Message>&m;</Message></a>',
        b"[" * 100_000,
        b'{"Message": "' + base64.b64encode(base64.b64encode(base64.b64encode(base64.b64encode(b"{}")))) + b'"}',
        b'{"object": ' + b"1" * 5000 + b"}",
        b"&".join(b"a%d=1" % n for n in range(101)),
    ],
)
def test_what_is_no_delivery_is_refused(body: bytes) -> None:
    """With a reason."""
    with pytest.raises(InvalidMessage, match=r"."):
        parse(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["events", "data", "oss", "object", "key", "eventName", "Message", "specversion", "xVars"])
            | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(
    st.binary(max_size=300) | st.text(max_size=300).map(str.encode) | JSON.map(dump) | JSON.map(lambda v: xml(str(v)))
)
def test_anything_is_read_or_refused(body: bytes) -> None:
    """Without any other error."""
    try:
        delivery = parse(body)
    except InvalidMessage:
        return
    for one in delivery.events:
        assert ObjectEvent.model_validate(one.model_dump()) == one


@pytest.mark.parametrize("sample", sorted(path.name for path in SAMPLES.iterdir() if path.name != "README.md"))
def test_the_samples_are_read(sample: str) -> None:
    """Each form of Aliyun's pages: `tests/contract/deliveries`."""
    delivery = parse((SAMPLES / sample).read_bytes())
    assert not delivery.malformed
    assert (not delivery.events) == (sample == "ignored.json")
    assert (len(delivery.ignored) == 5) == (sample == "ignored.json")
    assert all(one.bucket in {"pictures", None} for one in delivery.events)
