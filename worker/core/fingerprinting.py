"""From a picture's bytes to its hashes by several profiles, with one decode."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contract import Orientation, Profile
from worker.core import hashing, pdq
from worker.core.fingerprints import Fingerprint, Hash
from worker.core.grids import GRIDS, quality
from worker.core.pictures import open_picture, picture_errors, upright

_AHASH: Final = "ahash"
_DRAFT: Final = "ahash_draft"
_PDQ: Final = "pdq"

_TURNS: Final[Mapping[Orientation, Image.Transpose | None]] = {
    Orientation.AS_IT_IS: None,
    Orientation.MIRRORED: Image.Transpose.FLIP_LEFT_RIGHT,
    Orientation.ROTATED_180: Image.Transpose.ROTATE_180,
    Orientation.FLIPPED: Image.Transpose.FLIP_TOP_BOTTOM,
    Orientation.TRANSPOSED: Image.Transpose.TRANSPOSE,
    Orientation.ROTATED_90: Image.Transpose.ROTATE_270,
    Orientation.TRANSVERSED: Image.Transpose.TRANSVERSE,
    Orientation.ROTATED_270: Image.Transpose.ROTATE_90,
}

# Turns that exchange columns and rows.
_CROSSWISE: Final = frozenset(
    {
        Image.Transpose.TRANSPOSE,
        Image.Transpose.TRANSVERSE,
        Image.Transpose.ROTATE_90,
        Image.Transpose.ROTATE_270,
    }
)


class Fingerprinter:
    """Hashes pictures by several profiles at once."""

    def __init__(self, profiles: Sequence[Profile], *, fast: bool = True) -> None:
        """Hash by some profiles.

        Args:
            profiles: in the order in which hashes are wanted.
            fast: hash plain JPEGs in C where average hashes alone are wanted, if that proves to do as Pillow does.
        """
        self._profiles = tuple(profiles)
        only_average = all(profile.algorithm == _AHASH for profile in profiles)
        self._fast = fast and only_average and hashing.fast_path_fault() is None
        self._upright = any(profile.upright for profile in profiles)

    def __call__(self, body: bytes) -> Fingerprint:
        """Hash a picture, decoded once; but once more, and faster, for `ahash_draft`.

        Raises:
            NotAnImage: not a whole image of one of the accepted formats.
            TooLarge: more pixels than are admitted.
        """
        with picture_errors():
            thumbnail = hashing.fast_thumbnail(body, upright=self._upright) if self._fast else None
            if thumbnail is not None:
                return self._of_thumbnail(thumbnail)
            with open_picture(body) as image:
                return fingerprint(image, self._profiles, body)

    def _of_thumbnail(self, thumbnail: hashing.FastThumbnail) -> Fingerprint:
        small = Image.frombytes("L", GRIDS[_AHASH].size, thumbnail.grey)
        hashed = partial(Hash, vector=hashing.above_mean(thumbnail.grey), quality=quality(small))
        return Fingerprint(
            thumbnail.width, thumbnail.height, tuple(hashed(profile=profile.name) for profile in self._profiles)
        )


def fingerprint(image: Image.Image, profiles: Sequence[Profile], body: bytes) -> Fingerprint:
    """Hash a picture that is open.

    Args:
        image: the picture, decoded or not.
        profiles: in the order in which hashes are wanted.
        body: the bytes that it was opened from.
    """
    shown: dict[bool, Image.Image] = {}
    grey: dict[bool, Image.Image] = {}
    hashes = []
    for profile in profiles:
        if profile.name == _DRAFT:
            hashes.append(_draft(body))
            continue
        form = profile.upright
        if form not in shown:
            shown[form] = upright(image) if form else image
        if profile.algorithm == _PDQ:
            coefficients, score = pdq.transform(_rgb_or_grey(shown[form]))
            hashes.append(Hash(profile.name, pdq.pack(coefficients), score))
            continue
        if form not in grey:
            grey[form] = shown[form].convert("L")
        grid = GRIDS[profile.algorithm]
        small = grid.shrink(grey[form])
        hashes.append(Hash(profile.name, grid.vector(small), quality(small)))
    return Fingerprint(image.width, image.height, tuple(hashes))


def orientations(body: bytes, profile: Profile) -> Mapping[Orientation, bytes]:
    """The vectors of a picture in all eight ways to lay it, as it is first.

    Of a turned picture it is that of its turned thumbnail, or its turned frequencies: of a picture that was really
    turned a bit or two may differ.

    Raises:
        NotAnImage, TooLarge: as `Fingerprinter` does.
    """
    with picture_errors(), open_picture(body) as image:
        shown = upright(image) if profile.upright else image
        if profile.algorithm == _PDQ:
            coefficients, _ = pdq.transform(_rgb_or_grey(shown))
            return {orientation: pdq.pack(pdq.turn(coefficients, turn)) for orientation, turn in _TURNS.items()}
        grid = GRIDS[_AHASH if profile.name == _DRAFT else profile.algorithm]
        grey = shown.convert("L")
        columns, rows = grid.size
        lying, standing = grid.shrink(grey), grey.resize((rows, columns), Image.Resampling.LANCZOS)
        return {
            orientation: grid.vector(_turned(standing if turn in _CROSSWISE else lying, turn))
            for orientation, turn in _TURNS.items()
        }


def mirrored(vectors: NDArray[np.uint8], profile: Profile) -> NDArray[np.uint8]:
    """The vectors that left-right mirrored pictures would have, by the bits alone.

    Exact for average hashes up to the rounding of the resampling. Of the others a bit differs where a difference is
    zero, or a coefficient lies between the median and its negative.

    Args:
        vectors: of shape (n, bytes of the profile).
        profile: theirs.
    """
    bits = np.unpackbits(vectors, axis=1)
    if profile.algorithm == _PDQ:
        turned = pdq.mirror_bits(bits)
    else:
        grid = GRIDS[_AHASH if profile.name == _DRAFT else profile.algorithm]
        turned = grid.mirror(bits.reshape(-1, 8, 8)).reshape(bits.shape)
    return np.packbits(turned, axis=1)


def _turned(image: Image.Image, turn: Image.Transpose | None) -> Image.Image:
    return image if turn is None else image.transpose(turn)


def _draft(body: bytes) -> Hash:
    with open_picture(body) as image:
        image.draft("L", (hashing.DRAFT_SIDE, hashing.DRAFT_SIDE))
        grid = GRIDS[_AHASH]
        small = grid.shrink(image.convert("L"))
    return Hash(_DRAFT, grid.vector(small), quality(small))


def _rgb_or_grey(image: Image.Image) -> Image.Image:
    return image if image.mode in ("RGB", "L") else image.convert("RGB")
