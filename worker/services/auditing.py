"""What an audit needs to be told: pages of the bucket and of a collection, and a closer look at some objects."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from contract import ObjectEvent, row_id
from contract.audit import (
    Inspected,
    Inspecting,
    Inspection,
    InspectResult,
    ListedObject,
    ObjectsResult,
    PictureRow,
    RowsResult,
    StoredRow,
    WhichObjects,
    WhichRows,
)
from contract.id_texts import IdName, metadata_ids
from worker.core.errors import ObjectMissing, Unmapped
from worker.core.mapping import Mapper
from worker.ports import Head, Listing, ObjectStore, Row, SearchableIndex
from worker.services.backfilling import PAGE

_AT_ONCE: Final = 8

_Ids = tuple[int, int]


class Store(ObjectStore, Listing, Protocol):
    """A bucket."""


class _NotTold(Exception):
    """The key does not say both ids."""


class Auditing:
    """Hands out pages, and looks closer. All methods raise `Transient` and `Misconfigured`."""

    def __init__(self, objects: Store, index: SearchableIndex, mapper: Mapper, *, profile: str) -> None:
        """Audit.

        Args:
            objects: the bucket.
            index: the collection.
            mapper: finds ids.
            profile: of the collection.
        """
        self._objects = objects
        self._index = index
        self._mapper = mapper
        self._profile = profile

    def objects(self, which: WhichObjects) -> ObjectsResult:
        """Read a page of the bucket."""
        found: list[ListedObject] = []
        after, wanted = which.after, which.limit
        while len(found) < wanted:
            size = min(PAGE, wanted - len(found))
            page = self._objects.objects(which.prefix, after, size)
            for one in page:
                company_id, meta_id = self._by_key(one.key, which.key_template) or (None, None)
                found.append(
                    ListedObject(
                        object_key=one.key,
                        modified=one.modified,
                        size=one.size,
                        company_id=company_id,
                        meta_id=meta_id,
                    )
                )
            if len(page) < size:
                return ObjectsResult(objects=found, next=None)
            after = page[-1].key
        return ObjectsResult(objects=found, next=after)

    def rows(self, which: WhichRows) -> RowsResult:
        """Read a page of the collection."""
        found = self._index.scan(None, which.after, which.limit)
        rows = [
            StoredRow(
                id=row.id,
                company_id=row.company_id,
                meta_id=row.meta_id,
                object_key=row.object_key,
                indexed_at=row.indexed_at,
            )
            for row in found
        ]
        return RowsResult(hash=self._profile, rows=rows, next=found[-1].id if len(found) == which.limit else None)

    def inspect(self, wanted: Inspecting) -> InspectResult:
        """Look closer at some objects, and at the rows of their pictures."""
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="audit") as threads:
            heads = list(threads.map(lambda item: self._head(item.object_key), wanted.items))
        ids = [self._ids(item, head, wanted.key_template) for item, head in zip(wanted.items, heads, strict=True)]
        rows = self._index.lookup({row_id(*known): known[0] for known in ids if known is not None}, fresh=True)
        return InspectResult(items=[_seen(head, known, rows) for head, known in zip(heads, ids, strict=True)])

    def _head(self, key: str) -> Head | None:
        try:
            return self._objects.head(key)
        except ObjectMissing:
            return None

    def _ids(self, item: Inspection, head: Head | None, template: str | None) -> _Ids | None:
        if item.company_id is not None and item.meta_id is not None:
            return item.company_id, item.meta_id
        metadata = None if head is None else head.metadata
        try:
            return self._map(item.object_key, template, metadata or {})
        except Unmapped:
            return None

    def _by_key(self, key: str, template: str | None) -> _Ids | None:
        try:
            return self._map(key, template, None)
        except (Unmapped, _NotTold):
            return None

    def _map(self, key: str, template: str | None, metadata: Mapping[str, str] | None) -> _Ids:
        def told() -> Mapping[IdName, str]:
            if metadata is None:
                raise _NotTold
            return metadata_ids(metadata)

        event = self._mapper(ObjectEvent(object_key=key, source="oss", key_template=template), told)
        return event.company_id, event.meta_id


def _seen(head: Head | None, ids: _Ids | None, rows: Mapping[int, Row]) -> Inspected:
    row = None if ids is None else rows.get(row_id(*ids))
    if row is not None and (row.company_id, row.meta_id) != ids:
        row = None  # that of another picture, whose primary key is the same
    return Inspected(
        there=head is not None,
        crc=None if head is None else head.crc,
        company_id=None if ids is None else ids[0],
        meta_id=None if ids is None else ids[1],
        row=None
        if row is None
        else PictureRow(object_key=row.object_key, content_crc=row.content_crc, indexed_at=row.indexed_at),
    )
