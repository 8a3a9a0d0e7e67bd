"""What is computed of a picture: its size, and a hash for each profile."""

from dataclasses import dataclass
from typing import NamedTuple


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
