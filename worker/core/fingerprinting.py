"""From a picture's bytes to its hashes by several profiles, with one decode."""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
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
_BEST: Final = 100

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
        # By its own name, so that whoever calls it, or replaces it, has what uploads are hashed by.
        self._article = [profile.name for profile in profiles] == [_AHASH]
        self._upright = any(profile.upright for profile in profiles)

    def __call__(self, body: bytes) -> Fingerprint:
        """Hash a picture, decoded once; but once more, and faster, for `ahash_draft`.

        Raises:
            NotAnImage: not a whole image of one of the accepted formats.
            TooLarge: more pixels than are admitted.
        """
        if self._article:
            return _of_vector(hashing.create_vector(body) if self._fast else hashing.create_reference_vector(body))
        with picture_errors():
            thumbnail = hashing.fast_thumbnail(body, upright=self._upright) if self._fast else None
            if thumbnail is not None:
                return self._of_thumbnail(thumbnail)
            with open_picture(body) as image:
                return fingerprint(image, self._profiles, body)

    def _of_thumbnail(self, thumbnail: hashing.Thumbnail) -> Fingerprint:
        small = Image.frombytes("L", GRIDS[_AHASH].size, thumbnail.grey)
        hashed = partial(Hash, vector=hashing.above_mean(thumbnail.grey), quality=quality(small))
        return Fingerprint(
            thumbnail.width, thumbnail.height, tuple(hashed(profile=profile.name) for profile in self._profiles)
        )


def _of_vector(vector: bytes) -> Fingerprint:
    """The fingerprint of an average hash; of one that does not know what it was made of, no more than that."""
    if not isinstance(vector, hashing.Vector):
        return Fingerprint(0, 0, (Hash(_AHASH, vector, _BEST),))
    small = Image.frombytes("L", GRIDS[_AHASH].size, vector.grey)
    return Fingerprint(vector.width, vector.height, (Hash(_AHASH, bytes(vector), quality(small)),))


def fingerprint(image: Image.Image, profiles: Sequence[Profile], body: bytes) -> Fingerprint:
    """Hash a picture that is open.

    Args:
        image: the picture, decoded or not.
        profiles: in the order in which hashes are wanted.
        body: the bytes that it was opened from.
    """
    stored = shown = _Picture(image)
    if any(profile.upright for profile in profiles):
        turned = upright(image)
        shown = stored if turned is image else _Picture(turned)
    hashes = []
    for profile in profiles:
        if profile.name == _DRAFT:
            hashes.append(_draft(body))
            continue
        vector, score = (shown if profile.upright else stored).hash(profile.algorithm)
        hashes.append(Hash(profile.name, vector, score))
    return Fingerprint(image.width, image.height, tuple(hashes))


class _Picture:
    """A picture of which several hashes are made. What they share is made once, and so is each hash."""

    def __init__(self, image: Image.Image) -> None:
        self._image = image
        self._hashes: dict[str, tuple[bytes, int]] = {}

    @cached_property
    def _grey(self) -> Image.Image:
        return self._image.convert("L")

    def hash(self, algorithm: str) -> tuple[bytes, int]:
        """The vector and the quality."""
        if algorithm not in self._hashes:
            self._hashes[algorithm] = self._make(algorithm)
        return self._hashes[algorithm]

    def _make(self, algorithm: str) -> tuple[bytes, int]:
        if algorithm == _PDQ:
            coefficients, score = pdq.transform(_rgb_or_grey(self._image))
            return pdq.pack(coefficients), score
        grid = GRIDS[algorithm]
        small = grid.shrink(self._grey)
        return grid.vector(small), quality(small)


def orientations(body: bytes, profile: Profile) -> Mapping[Orientation, bytes]:
    """The vectors of a picture in all eight ways to lay it, as it is first.

    For the hashes of thumbnails these are turned, not the picture: of a picture that was really turned a bit or two
    may differ. PDQ's are exact where the picture was not reduced first, as those of 1,024 pixels a side and more are.

    Raises:
        NotAnImage, TooLarge: as `Fingerprinter` does.
    """
    with picture_errors(), open_picture(body) as image:
        shown = upright(image) if profile.upright else image
        if profile.algorithm == _PDQ:
            vectors = pdq.orientations(_rgb_or_grey(shown))
            return {orientation: vectors[turn] for orientation, turn in _TURNS.items()}
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
