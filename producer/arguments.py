"""From what a caller of the client gives to the JSON arguments of a task, validated before anything is sent."""

import binascii
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, TypedDict

from contract import (
    MAX_EVENTS,
    VERSION,
    InvalidMessage,
    Item,
    Query,
    QueryRejected,
    SearchOptions,
    decode_delete,
    decode_search,
    decode_search_many,
)

# A picture in a query goes through Redis, in base64. Above what workers admit by default (50 MiB), so that theirs is
# the limit that counts; this one keeps a film that was given by mistake out of Redis.
MAX_IMAGE_BYTES: Final = 64 * 1024 * 1024

Image = bytes | bytearray | memoryview | BinaryIO | os.PathLike[str]
Arguments = dict[str, Any]


class Scope(TypedDict, total=False):
    """Where a search looks, how far, and how long it may take; see `Client.search`."""

    company_id: int | None
    all_companies: bool
    limit: int
    max_distance: int | None
    max_chance: float | None
    fresh: bool
    hash: str | None
    collapse: bool
    members: int
    low_quality: bool
    verify: bool
    timeout: float


class SearchArguments(Scope, total=False):
    """The arguments of `Client.search`."""

    object_key: str | None
    image: Image | None
    vector: bytes | str | None
    meta_id: int | None


def search_options(given: Mapping[str, Any]) -> Arguments:
    """Gather the options of a search, given by their names; those of the contract that are not given keep its default.

    What is not an option of the contract is left out: the query, and what only the client needs.
    """
    return {name: given.get(name, field.default) for name, field in SearchOptions.model_fields.items()}


def search_arguments(query: Query | Mapping[str, Any], options: Mapping[str, Any]) -> Arguments:
    """Make the arguments of `lookalike.search`.

    Args:
        query: one of object_key, image, vector, meta_id; what is None counts as not given.
        options: as `contract.SearchOptions` names them.

    Raises:
        InvalidMessage: naming the field.
        QueryRejected: the image is too large to be sent.
        OSError: the image cannot be read.
    """
    decoded, _ = decode_search({"query": _source(query), **options})
    return {"query": _wire(decoded), **options, "version": VERSION}


def search_many_arguments(queries: Iterable[Query | Mapping[str, Any]], options: Mapping[str, Any]) -> Arguments:
    """Make the arguments of `lookalike.search_many`; raises as `search_arguments` does."""
    decoded, _ = decode_search_many({"queries": list(map(_source, queries)), **options})
    return {"queries": list(map(_wire, decoded)), **options, "version": VERSION}


def delete_arguments(items: Iterable[Item | Mapping[str, Any]]) -> Sequence[Arguments]:
    """Make the arguments of as many `lookalike.delete` as are needed.

    Raises:
        InvalidMessage: naming the item and its field.
    """
    given = [dict(item) if isinstance(item, Mapping) else item for item in items]
    messages = []
    for start in range(0, len(given), MAX_EVENTS):
        chunk = given[start : start + MAX_EVENTS]
        try:
            decoded = decode_delete({"items": chunk})
        except InvalidMessage as error:
            raise InvalidMessage(f"items {start} to {start + len(chunk) - 1}: {error}") from None
        messages.append({"items": [item.model_dump() for item in decoded], "version": VERSION})
    return messages


def readable(arguments: Arguments) -> str:
    """Say what the arguments are for Flower and the logs: with the size of an image in place of its base64."""

    def shorten(query: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"image": f"<{len(query['image']) * 3 // 4} bytes>"} if "image" in query else query

    shown = dict(arguments)
    if "query" in shown:
        shown["query"] = shorten(shown["query"])
    for several in ("queries", "items"):
        if several in shown:
            shown[several] = list(map(shorten, shown[several]))
    return repr(shown)


def _source(query: object) -> object:
    if isinstance(query, Query):
        return query
    if not isinstance(query, Mapping):
        raise InvalidMessage(f"query: a mapping with one of object_key, image, vector, meta_id, not {type(query)!r}")
    given = {name: value for name, value in query.items() if value is not None}
    return given | {"image": _read(given["image"])} if "image" in given else given


def _read(image: object) -> bytes:
    match image:
        case bytes() | bytearray() | memoryview():
            content: object = bytes(image)
        case os.PathLike():
            with Path(image).open("rb") as file:
                content = file.read(MAX_IMAGE_BYTES + 1)
        case _ if callable(read := getattr(image, "read", None)):
            content = read(MAX_IMAGE_BYTES + 1)
        case _:
            content = None
    if not isinstance(content, bytes):
        raise InvalidMessage(f"query.image: bytes, a file opened in binary mode or a path object, not {type(image)!r}")
    if len(content) > MAX_IMAGE_BYTES:
        raise QueryRejected(
            f"the image is larger than the {MAX_IMAGE_BYTES:,} bytes that a query carries: search by object_key instead"
        )
    return content


def _wire(query: Query) -> Mapping[str, Any]:
    if query.image is not None:
        return {"image": binascii.b2a_base64(query.image, newline=False).decode()}
    if query.vector is not None:
        return {"vector": query.vector.hex()}
    return query.model_dump(exclude_none=True)
