"""What is computed of a picture: its size, and a hash for each profile."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, NamedTuple

# Pictures of a lower quality are blank, or nearly so: there is nothing in them to compare.
LOW_QUALITY: Final = 10


class Hash(NamedTuple):
    """A picture's hash by one profile.

    Attributes:
        profile: its name.
        vector: the packed bits, row by row, the most significant bit first.
        quality: how much there was to compare in the picture, 0 (blank) to 100.
    """

    profile: str
    vector: bytes
    quality: int


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What one decode of a picture gave.

    Attributes:
        width: in pixels, as the picture is stored.
        height: the same.
        hashes: one for each profile, in the order in which they were asked for.
    """

    width: int
    height: int
    hashes: tuple[Hash, ...]


def vector_key(vector: bytes) -> int:
    """A signed 64-bit integer that stands for a vector where Milvus filters: it compares no vectors.

    The first 64 bits of BLAKE2b (RFC 7693). Equal vectors have equal keys; two others share one with a probability of
    1 in 2^64.
    """
    return int.from_bytes(blake2b(vector, digest_size=8).digest(), "big", signed=True)
