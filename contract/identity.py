"""Row identity: the primary key of a picture in Milvus."""

import struct
from hashlib import blake2b

_KEY = struct.Struct(">qq")
_POSITIVE = (1 << 63) - 1


def row_id(company_id: int, meta_id: int) -> int:
    """Derive the INT64 primary key of a tenant's picture.

    Sixty-three bits of BLAKE2b (RFC 7693) over the two ids as big-endian signed 64-bit integers: the same pair always
    has the same key, so every write can be an upsert and a redelivered event makes no second row. Two pairs share a key
    with probability n^2 / 2^64 among n rows, 1 in 1,800 at 10^8: workers compare the stored pair before they write.

    Args:
        company_id: the tenant, a signed 64-bit integer.
        meta_id: the picture within the tenant, a signed 64-bit integer.

    Returns:
        An integer in 0 .. 2^63 - 1.

    Raises:
        struct.error: an id is not a signed 64-bit integer.
    """
    digest = blake2b(_KEY.pack(company_id, meta_id), digest_size=8).digest()
    return int.from_bytes(digest, "big") & _POSITIVE
