"""What a form says of one object, made into an event."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from contract import InvalidMessage, ObjectEvent
from contract.decoding import decode_as
from contract.id_texts import metadata_ids, variable_ids

_SCHEME: Final = "oss:"  # what EventBridge writes before an event's name
# What means a whole new object. `ObjectCreated` alone does not: it stands before each part of a multipart upload, too.
_CREATED: Final = frozenset(
    {
        "ObjectCreated:PutObject",
        "ObjectCreated:PostObject",
        "ObjectCreated:CompleteMultipartUpload",
        "ObjectCreated:CopyObject",
    }
)
_REMOVED: Final = frozenset({"ObjectRemoved:DeleteObject", "ObjectRemoved:DeleteObjects"})
# Of a callback, the uploader names the field: `object` in Aliyun's reference, `filename` in its examples.
_KEY_FIELDS: Final = ("object", "filename")


class _Lenient(BaseModel):
    """Data of which we need a part; what is beside it may change."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class _Bucket(_Lenient):
    name: str | None = None


class _Meta(_Lenient):
    user: dict[str, Any] = Field(default={}, alias="userMeta")


class _Object(_Lenient):
    key: str
    size: int | None = None
    meta: _Meta | None = Field(default=None, alias="objectMeta")


class _Oss(_Lenient):
    bucket: _Bucket | None = None
    object: _Object


class _Record(_Lenient):
    name: str = Field(alias="eventName")
    oss: _Oss
    variables: dict[str, Any] | None = Field(default=None, alias="xVars")


def of_record(raw: object) -> ObjectEvent | str:
    """Make an event of a record of `events[]`, or of EventBridge's `data`.

    Returns:
        The event; or the record's name, where it tells of nothing that concerns us.

    Raises:
        InvalidMessage: it is none, or says nothing of an object that should concern us.
    """
    if isinstance(raw, Mapping) and isinstance(name := raw.get("eventName"), str) and not _concerns(name):
        return name.removeprefix(_SCHEME)
    record = decode_as(_Record, raw)
    name, told = record.name.removeprefix(_SCHEME), record.oss.object
    if told.key.endswith("/") and not told.size:
        return name  # what consoles show as a folder
    # An object has no metadata, or the form does not tell it: one looks like the other.
    metadata = metadata_ids(told.meta.user) if told.meta is not None and told.meta.user else None
    return decode_as(
        ObjectEvent,
        {
            "object_key": told.key,
            "source": "oss",
            "bucket": record.oss.bucket.name if record.oss.bucket is not None else None,
            "when": "removed" if name in _REMOVED else None,
            "variables": variable_ids(record.variables or {}) or None,
            "metadata": metadata,
        },
    )


def of_callback(fields: Mapping[str, object]) -> ObjectEvent:
    """Make an event of the fields of a callback, which comes after an object was put.

    Raises:
        InvalidMessage: no field names the object.
    """
    key = next((fields[name] for name in _KEY_FIELDS if fields.get(name)), None)
    if key is None:
        raise InvalidMessage("neither events of OSS nor a callback: there is no events, data, oss, object or filename")
    return decode_as(
        ObjectEvent,
        {
            "object_key": key,
            "source": "oss",
            "bucket": fields.get("bucket") or None,
            "variables": variable_ids(fields) or None,
        },
    )


def _concerns(name: str) -> bool:
    return name.removeprefix(_SCHEME) in _CREATED | _REMOVED
