"""A second look at a match, by a hash of 256 bits in all eight orientations: what it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from contract import Kind, Orientation

# "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm" (Facebook, 2019): unrelated pictures differ
# in some 128 of 256 bits, and within 31 they are taken for the same.
SAME_BITS: Final = 31
# Measured, see docs/answers.md: of 25,440 pairs of unrelated photos the nearest were 88 bits apart, in any orientation.
SIMILAR_BITS: Final = 80


@dataclass(frozen=True, slots=True)
class Looked:
    """What there is to know of a picture for a second look.

    Attributes:
        crc: CRC-64 of its bytes; None where they are not known.
        size: width and height in pixels; None where they are not known.
    """

    crc: int | None
    size: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a match is.

    Attributes:
        kind: in a word.
        distance: of the hashes of 256 bits, in the nearest orientation; None where there is none of the match.
        orientation: the nearest one.
    """

    kind: Kind
    distance: int | None
    orientation: Orientation | None


def verdict(query: Looked, match: Looked, distances: Mapping[Orientation, int] | None) -> Verdict:
    """Say what a match is.

    Args:
        query: the query's picture.
        match: the picture that was found.
        distances: of the match's hash from that of the query's picture in each orientation; None where it has none.
    """
    if not distances:
        return Verdict(Kind.NOT_VERIFIED, None, None)
    orientation = min(distances, key=lambda one: (distances[one], one is not Orientation.AS_IT_IS))
    distance = distances[orientation]
    return Verdict(_kind(query, match, distance, orientation), distance, orientation)


def _kind(query: Looked, match: Looked, distance: int, orientation: Orientation) -> Kind:
    if query.crc is not None and query.crc == match.crc:
        return Kind.SAME_BYTES
    if distance > SIMILAR_BITS:
        return Kind.PROBABLY_CHANCE
    if distance > SAME_BITS:
        return Kind.SIMILAR
    if orientation is not Orientation.AS_IT_IS:
        return Kind.ROTATED_OR_MIRRORED
    return Kind.RE_ENCODED if query.size == match.size else Kind.RESIZED
