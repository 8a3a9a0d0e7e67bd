"""Thumbnails of pictures that are indexed, in the bucket, or given."""

import binascii
import time
from collections.abc import Callable, Mapping

from contract import row_id
from contract.thumbnails import Pictured, Thumbnailing, ThumbnailsResult
from worker.core.errors import Permanent, TooLarge, Transient
from worker.core.thumbnails import make_thumbnail
from worker.ports import ObjectStore, VectorIndex


class Thumbnails:
    """Makes thumbnails, one after the other: no more than one picture is in memory for a call."""

    def __init__(
        self,
        objects: ObjectStore,
        index: VectorIndex,
        *,
        max_image_bytes: int,
        call_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make thumbnails.

        Args:
            objects: where the pictures are.
            index: the rows that name them.
            max_image_bytes: of an image that is given.
            call_seconds: for one call: what is not read by then says so.
            monotonic: a clock.
        """
        self._objects = objects
        self._index = index
        self._max_image_bytes = max_image_bytes
        self._call_seconds = call_seconds
        self._monotonic = monotonic

    def __call__(self, wanted: Thumbnailing) -> ThumbnailsResult:
        """Make the thumbnails of some pictures. One that cannot be made says why; the others are made.

        Raises:
            Transient: the index does not answer.
            Misconfigured: the index or the bucket refuses.
        """
        deadline = self._monotonic() + self._call_seconds
        keys = {
            row_id(item.company_id, item.meta_id): item.company_id
            for item in wanted.items
            if item.meta_id is not None and item.company_id is not None
        }
        rows = self._index.lookup(keys) if keys else {}
        named = {(row.company_id, row.meta_id): row.object_key for row in rows.values()}
        result: ThumbnailsResult = {"thumbnails": [], "errors": []}
        for item in wanted.items:
            thumbnail: str | None = None
            error: str | None = None
            try:
                made = make_thumbnail(self._body(item, named, deadline), wanted.side)
                thumbnail = binascii.b2a_base64(made, newline=False).decode()
            except (Permanent, Transient, LookupError) as reason:
                error = str(reason.args[0])
            result["thumbnails"].append(thumbnail)
            result["errors"].append(error)
        return result

    def _body(self, item: Pictured, named: Mapping[tuple[int, int], str], deadline: float) -> bytes:
        if item.image is not None:
            if len(item.image) > self._max_image_bytes:
                raise TooLarge(f"{len(item.image):,} bytes, {self._max_image_bytes:,} are admitted")
            return item.image
        key = item.object_key
        if key is None and item.meta_id is not None and item.company_id is not None:
            key = named.get((item.company_id, item.meta_id))
        if key is None:
            raise LookupError("not indexed")
        if self._monotonic() > deadline:
            raise LookupError("not in time")
        return self._objects.get(key, deadline).body
