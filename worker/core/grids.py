"""The hashes of imagehash, made of small grey pictures: average, difference and perceptual hash."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Bits = NDArray[np.uint8]

_SIDE: Final = 8
_QUALITY_MAX: Final = 100
# Neighbouring cells of photos differ by some 20 grey levels of 256. From 8 on there is all that a hash needs.
_ENOUGH_CONTRAST: Final = 8.0


@dataclass(frozen=True, slots=True)
class Grid:
    """A hash that imagehash computes of a small grey picture.

    Attributes:
        size: of that picture, columns and rows.
        hasher: imagehash's function. Given a picture of this size it scales no more.
        mirror: from unpacked vectors of shape (n, 8, 8) to those of the left-right mirrored pictures.
    """

    size: tuple[int, int]
    hasher: Callable[[Image.Image], Any]
    mirror: Callable[[Bits], Bits]

    def shrink(self, grey: Image.Image) -> Image.Image:
        """Scale a picture of mode L as imagehash does."""
        return grey.resize(self.size, Image.Resampling.LANCZOS)

    def vector(self, small: Image.Image) -> bytes:
        """The hash of a picture of this size: 8 bytes, equal to `bytes.fromhex(str(hash))`."""
        return np.packbits(self.hasher(small).hash).tobytes()


def quality(small: Image.Image) -> int:
    """How much there is to compare in a small grey picture: 0 (blank) to 100.

    It is the mean difference of neighbouring cells, of 8 by 8 or nearly so: 8 grey levels of 256 are 100.
    """
    cells = np.asarray(small.reduce(max(1, small.height // _SIDE))).astype(np.float32)
    steps = [np.abs(np.diff(cells, axis=axis)).ravel() for axis in (0, 1)]
    contrast = float(np.concatenate(steps).mean())
    return min(_QUALITY_MAX, round(_QUALITY_MAX * contrast / _ENOUGH_CONTRAST))


def _mirror_average(bits: Bits) -> Bits:
    return bits[:, :, ::-1]


def _mirror_difference(bits: Bits) -> Bits:
    """What was brighter to the right is brighter to the left; cells that are equal are so still, but seldom are."""
    return 1 - bits[:, :, ::-1]


def _mirror_frequencies(bits: Bits) -> Bits:
    """Coefficients of odd frequencies across change their sign; their median is nearly zero."""
    mirrored = bits.copy()
    mirrored[:, :, 1::2] ^= 1
    return mirrored


GRIDS: Final[Mapping[str, Grid]] = {
    "ahash": Grid((8, 8), imagehash.average_hash, _mirror_average),
    "dhash": Grid((9, 8), imagehash.dhash, _mirror_difference),
    "phash": Grid((32, 32), imagehash.phash, _mirror_frequencies),
}
