"""Reading what was delivered: which form it has, and the events in it."""

import json
import re
from binascii import Error as NotBase64
from binascii import a2b_base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from urllib.parse import parse_qsl
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from contract import InvalidMessage, ObjectEvent
from producer.oss_events.records import of_callback, of_record

# An envelope of SMQ holds base64, which holds JSON: what is packed deeper is not ours.
_MAX_DEPTH: Final = 4
_MAX_FIELDS: Final = 100
_BASE64: Final = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*", re.ASCII)


class Form(StrEnum):
    """How events were delivered."""

    EVENTS = "events"  # events[]: Function Compute's, and what SMQ carries
    SMQ = "smq"
    EVENTBRIDGE = "eventbridge"
    CALLBACK = "callback"


@dataclass(slots=True)
class Delivery:
    """What one request, message or line told.

    Attributes:
        form: how.
        events: to be enqueued.
        ignored: the names of events that concern nobody's picture.
        malformed: what is wrong with those that cannot be read.
    """

    form: Form
    events: list[ObjectEvent] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    malformed: list[str] = field(default_factory=list)


def parse(body: bytes) -> Delivery:
    """Read a delivery of any form, which shows from what it is.

    Args:
        body: JSON, XML or a form, each also in base64.

    Raises:
        InvalidMessage: it is of no form that OSS uses.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidMessage(f"not UTF-8: byte {error.start + 1}") from None
    try:
        return _parse(text.strip(), _MAX_DEPTH)
    except RecursionError:
        raise InvalidMessage("nested too deeply") from None


def _parse(text: str, depth: int) -> Delivery:
    if not text:
        raise InvalidMessage("nothing was delivered")
    if depth == 0:
        raise InvalidMessage("packed too deeply")
    if text[0] in "{[":
        return _of_json(_json(text), depth)
    if text[0] == "<":
        return _unpacked(_envelope(text), depth)
    if (unpacked := _from_base64(text)) is not None:
        return _parse(unpacked.strip(), depth - 1)
    return Delivery(Form.CALLBACK, [of_callback(_form(text))])


def _of_json(value: Any, depth: int) -> Delivery:
    match value:
        case list():
            return _together([_of_json(one, depth - 1) for one in _bounded(value, depth)])
        case {"events": list(records)}:
            return _of_records(Form.EVENTS, records)
        case {"specversion": str(), "data": data}:
            return _of_cloud_event(value, data)
        case {"Message": str(message)}:
            return _unpacked(message, depth)
        case {"oss": dict()}:
            return _of_records(Form.EVENTS, [value])
        case dict():
            return Delivery(Form.CALLBACK, [of_callback(value)])
        case _:
            raise InvalidMessage("an object or a list of them is expected")


def _bounded(values: Sequence[Any], depth: int) -> Sequence[Any]:
    if depth == 0:
        raise InvalidMessage("packed too deeply")
    if not values:
        raise InvalidMessage("an empty list")
    return values


def _of_cloud_event(envelope: Mapping[str, Any], data: object) -> Delivery:
    """EventBridge's: one record in `data`, and its name in `type`, which stands there where `data` has none."""
    kind = envelope.get("type")
    if isinstance(data, Mapping) and isinstance(records := data.get("events"), list):
        return _of_records(Form.EVENTBRIDGE, records)
    record = {"eventName": kind, **data} if isinstance(data, Mapping) else {"eventName": kind}
    return _of_records(Form.EVENTBRIDGE, [record])


def _of_records(form: Form, records: Sequence[object]) -> Delivery:
    delivery = Delivery(form)
    for record in records:
        try:
            event = of_record(record)
        except InvalidMessage as error:
            delivery.malformed.append(str(error))
        else:
            if isinstance(event, str):
                delivery.ignored.append(event)
            else:
                delivery.events.append(event)
    return delivery


def _together(deliveries: Sequence[Delivery]) -> Delivery:
    whole = Delivery(deliveries[0].form)
    for one in deliveries:
        whole.events += one.events
        whole.ignored += one.ignored
        whole.malformed += one.malformed
    return whole


def _unpacked(message: str, depth: int) -> Delivery:
    """What SMQ carries, in its own envelope."""
    delivery = _parse(message.strip(), depth - 1)
    delivery.form = Form.SMQ
    return delivery


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidMessage(f"not JSON: {error}") from None


def _envelope(text: str) -> str:
    """The text of `Message` in SMQ's XML. An XML that defines entities, or a document type, is refused."""
    try:
        root: Element = fromstring(text, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise InvalidMessage(f"not XML that is accepted: {type(error).__name__}: {error}") from None
    # Whatever the namespace.
    message = next((child.text for child in root if child.tag.rpartition("}")[2] == "Message"), None)
    if not message:
        raise InvalidMessage("the XML has no Message")
    return message


def _from_base64(text: str) -> str | None:
    if not _BASE64.fullmatch(text):
        return None
    try:
        return a2b_base64("".join(text.split()), strict_mode=True).decode()
    except (NotBase64, UnicodeDecodeError):
        return None


def _form(text: str) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=_MAX_FIELDS
        )
    except ValueError as error:
        raise InvalidMessage(f"neither JSON, XML, base64 nor a form: {error}") from None
    return dict(pairs)
