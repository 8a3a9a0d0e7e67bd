"""PDQ, a hash of 256 bits, with a quality of its own.

After "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm" (Facebook, 2019) and its reference
implementation. The binding `pdqhash` has no wheels, and a machine without a compiler could not install it.

Only the 64x64 samples are computed of what the filters give, each a weighted sum of a few neighbours. All sums are made
term by term in an order of ours, never as products of matrices: BLAS adds in the order that suits the processor, and
where coefficients are equal but for rounding (a picture 8 pixels wide), two machines would give two hashes.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.floating[Any]]

_SIDE: Final = 64
_BITS_SIDE: Final = 16
# A smaller side cannot be hashed: the vector is zero, and so is the quality.
_LEAST_SIDE: Final = 5
# Each side is reduced by a whole factor first, so long as it keeps so many pixels. The reference's own program scales
# to 512 at once.
_ENOUGH: Final = 512
_LUMA: Final = (0.299, 0.587, 0.114)
# Whether a turn exchanges rows and columns, and whether it then mirrors across, and down.
_TURNS: Final = {
    None: (False, False, False),
    Image.Transpose.FLIP_LEFT_RIGHT: (False, True, False),
    Image.Transpose.FLIP_TOP_BOTTOM: (False, False, True),
    Image.Transpose.ROTATE_180: (False, True, True),
    Image.Transpose.TRANSPOSE: (True, False, False),
    Image.Transpose.ROTATE_270: (True, True, False),
    Image.Transpose.ROTATE_90: (True, False, True),
    Image.Transpose.TRANSVERSE: (True, True, True),
}
_QUALITY_SCALE: Final = 90
_QUALITY_MAX: Final = 100


def transform(image: Image.Image) -> tuple[Floats, int]:
    """The coefficients whose signs against their median are the hash, and the quality.

    Args:
        image: of any size, in RGB or L.

    Returns:
        float64 of shape (16, 16), the frequencies 1 to 16 down and across; and 0 to 100.
    """
    return _transform(_luma(image))


def orientations(image: Image.Image) -> Mapping[Image.Transpose | None, bytes]:
    """The hashes of a picture in RGB or L in all eight ways to lay it, as it is first.

    The pixels are turned. The reference turns the coefficients instead, which is cheaper, but of pictures that were
    really turned up to 76 bits differ, for samples are not taken in the middle: ADR 16.
    """
    luma = _luma(image)
    return {way: pack(_transform(_turned(luma, way))[0]) for way in _TURNS}


def _transform(luma: Floats) -> tuple[Floats, int]:
    if min(luma.shape) < _LEAST_SIDE:
        return np.zeros((_BITS_SIDE, _BITS_SIDE)), 0
    small = _samples(_samples(luma).T).T
    cosines = _cosines()
    return _product(_product(cosines, small), cosines.T), _quality(small)


def pack(coefficients: Floats) -> bytes:
    """The hash of coefficients: 32 bytes, in the order of PDQ's hexadecimal form, the highest frequencies first."""
    median = np.partition(coefficients, coefficients.size // 2 - 1, axis=None)[coefficients.size // 2 - 1]
    return np.packbits((coefficients > median).ravel()[::-1]).tobytes()


def _turned(luma: Floats, way: Image.Transpose | None) -> Floats:
    transposed, across, down = _TURNS[way]
    turned = luma.T if transposed else luma
    return turned[:: -1 if down else 1, :: -1 if across else 1]


def mirror_bits(bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mirror unpacked hashes of shape (n, 256): coefficients of odd frequencies across change their sign."""
    turned = bits.reshape(-1, _BITS_SIDE, _BITS_SIDE).copy()
    turned[:, :, 1::2] ^= 1  # the last column is that of frequency 1
    return turned.reshape(bits.shape)


class _Taps(NamedTuple):
    """How 64 samples are made along a side.

    Attributes:
        at: which lines take part, of shape (terms, 64).
        weights: theirs, float64 of the same shape and one axis more; what a sample does not need weighs nothing.
    """

    at: NDArray[np.intp]
    weights: Floats


def _luma(image: Image.Image) -> Floats:
    """The brightness of a picture in RGB or L, reduced if it is large: 0 to 255, float32 as the reference has it."""
    across, down = (max(1, side // _ENOUGH) for side in image.size)
    if (across, down) != (1, 1):
        image = image.reduce((across, down))
    if image.mode == "L":
        return np.asarray(image, dtype=np.float32)
    red, green, blue = (
        np.asarray(channel, dtype=np.float32) * np.float32(weight)
        for channel, weight in zip(image.split(), _LUMA, strict=True)
    )
    luma: Floats = red + green + blue
    return luma


def _samples(lines: Floats) -> Floats:
    """Filter an array along its first axis, and take 64 samples of it: float64 of shape (64, columns)."""
    taps = _taps(len(lines))
    samples = np.zeros((_SIDE, lines.shape[1]))
    for at, weights in zip(taps.at, taps.weights, strict=True):
        samples += weights * lines[at]
    return samples


@lru_cache(maxsize=64)
def _taps(length: int) -> _Taps:
    """Two passes of Jarosz' box filter along a side, and every so many-th sample.

    A box is cut off at the ends, and divided by what is left of it.
    """
    window = -(-length // (2 * _SIDE))
    right = (window + 2) // 2 - 1
    left = window - 1 - right
    at = np.arange(length)
    begin, end = np.maximum(at - left, 0), np.minimum(at + right, length - 1) + 1
    taken = ((np.arange(_SIDE) + 0.5) * length / _SIDE).astype(int)
    weights = np.zeros((_SIDE, length))
    for sample, center in enumerate(taken):
        for n in range(begin[center], end[center]):
            weights[sample, begin[n] : end[n]] += 1 / (end[n] - begin[n]) / (end[center] - begin[center])
    reach = 2 * window - 1
    wanted = begin[begin[taken]] + np.arange(reach)[:, None]
    inside = np.minimum(wanted, length - 1)
    return _Taps(inside, np.where(wanted < length, weights[np.arange(_SIDE), inside], 0)[:, :, None])


def _product(left: Floats, right: Floats) -> Floats:
    """The product of two small matrices, added up term by term."""
    product = np.zeros((left.shape[0], right.shape[1]))
    for column, row in zip(left.T, right, strict=True):
        product += column[:, None] * row
    return product


@lru_cache(maxsize=1)
def _cosines() -> Floats:
    """The rows 1 to 16 of the DCT-II of 64 samples, of shape (16, 64), with the precision of the reference's."""
    frequency = np.arange(1, _BITS_SIDE + 1)[:, None]
    at = 2 * np.arange(_SIDE) + 1
    made: Floats = (np.sqrt(2 / _SIDE) * np.cos(np.pi / (2 * _SIDE) * frequency * at)).astype(np.float32)
    return made.astype(np.float64)


def _quality(small: Floats) -> int:
    """The sum of the gradients that are not too faint, of a picture of 64x64."""
    total = 0
    for axis in (0, 1):
        steps = np.diff(small, axis=axis) * 100 / 255
        total += int(np.abs(np.trunc(steps)).sum())
    return min(_QUALITY_MAX, total // _QUALITY_SCALE)
