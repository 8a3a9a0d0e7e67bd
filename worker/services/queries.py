"""From queries to what is searched for."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastcrc import crc64

from contract import InvalidMessage, Profile, Query, QueryNotFound, SearchOptions, row_id
from worker.core.errors import Misconfigured, Permanent, TooLarge, Transient
from worker.core.fingerprints import Fingerprint
from worker.ports import ObjectStore, Row, VectorIndex


@dataclass(frozen=True, slots=True)
class Asked:
    """A query that was looked up.

    Attributes:
        vector: its hash.
        body: the bytes of its picture, where they were read or given.
        crc: CRC-64 of those bytes.
        size: width and height of the picture, in pixels, where it was hashed here.
    """

    vector: bytes
    body: bytes | None = None
    crc: int | None = None
    size: tuple[int, int] | None = None


class Queries:
    """Looks up queries for one profile."""

    def __init__(
        self,
        objects: ObjectStore,
        index: VectorIndex,
        fingerprint: Callable[[bytes], Fingerprint],
        *,
        profile: Profile,
        max_image_bytes: int,
        object_seconds: float,
    ) -> None:
        """Look up queries.

        Args:
            objects: the pictures that queries name.
            index: the rows that queries name.
            fingerprint: from a picture's bytes to its hash.
            profile: of the hash.
            max_image_bytes: of a query's own picture.
            object_seconds: for one object.
        """
        self._objects = objects
        self._index = index
        self._fingerprint = fingerprint
        self._profile = profile
        self._max_image_bytes = max_image_bytes
        self._object_seconds = object_seconds

    def __call__(self, queries: Sequence[Query], options: SearchOptions) -> list[Asked]:
        """Look up queries.

        Raises:
            InvalidMessage: a vector of another length, or a `meta_id` without its company, or a vector that is to be
                verified, of which there is no picture.
            QueryNotFound: a row that a query names does not exist.
            ObjectMissing, Transient, Permanent, Misconfigured: the picture cannot be read, or not be hashed.
        """
        return [self._look_up(query, options) for query in queries]

    def _look_up(self, query: Query, options: SearchOptions) -> Asked:
        if query.vector is not None:
            if options.verify:
                raise InvalidMessage("verify: a vector has no picture to look at: ask by object_key, image or meta_id")
            if len(query.vector) != self._profile.bytes:
                raise InvalidMessage(
                    f"query.vector: {self._profile.bytes} bytes are needed for {self._profile.name}, not "
                    f"{len(query.vector)}"
                )
            return Asked(query.vector)
        if query.image is not None:
            if len(query.image) > self._max_image_bytes:
                raise TooLarge(f"query.image: {len(query.image):,} bytes, {self._max_image_bytes:,} are admitted")
            return self._hashed(query.image)
        if query.object_key is not None:
            return self._read(query.object_key)
        if query.meta_id is None or options.company_id is None:
            raise InvalidMessage("query.meta_id: a picture is known by its meta_id and its company_id")
        row = self.stored(query.meta_id, options.company_id, fresh=options.fresh)
        return self._read(row.object_key) if options.verify else Asked(row.vector)

    def _read(self, object_key: str) -> Asked:
        try:
            download = self._objects.get(object_key, time.monotonic() + self._object_seconds)
            return self._hashed(download.body)
        except (Transient, Permanent, Misconfigured) as error:
            raise type(error)(f"{object_key}: {error}") from error

    def _hashed(self, body: bytes) -> Asked:
        made = self._fingerprint(body)
        return Asked(made.hashes[0].vector, body, crc64.xz(body), (made.width, made.height))

    def stored(self, meta_id: int, company_id: int, *, fresh: bool = False) -> Row:
        """Look up the row of a picture.

        Raises:
            QueryNotFound: it is not indexed.
        """
        id_ = row_id(company_id, meta_id)
        row = self._index.lookup({id_: company_id}, fresh=fresh).get(id_)
        if row is None or (row.company_id, row.meta_id) != (company_id, meta_id):
            raise QueryNotFound(f"no picture with meta_id {meta_id} of company_id {company_id} is indexed")
        return row
