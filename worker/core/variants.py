"""A picture of an evaluation: its hashes, and those of its changed copies."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

from contract import PROFILES, Orientation, Profile
from worker.core.fingerprinting import fingerprint, orientations
from worker.core.fingerprints import LOW_QUALITY, Hash
from worker.core.pictures import open_picture, picture_errors, upright
from worker.core.transforms import Transform

if TYPE_CHECKING:
    from PIL.Image import Image

# Copies are made of the picture as it is shown, scaled down to this longer side. The hashes look at 8 to 64 cells a
# side, and a copy of a camera's picture would take ten times as long to make and hash.
SIDE: Final = 640

# By which two originals are known for the same picture.
COMPARED: Final = PROFILES["pdq.upright"]


@dataclass(frozen=True, slots=True)
class Variants:
    """The hashes of a picture and its copies.

    Attributes:
        blank: whether there is too little in it to compare, by all profiles.
        original: a vector for each profile, by its name.
        copies: the vectors of the transforms' copies, one after the other, for each profile by its name.
        turned: eight vectors by `COMPARED`, one for each way to lay the picture, as it is first.
    """

    blank: bool
    original: Mapping[str, bytes]
    copies: Mapping[str, bytes]
    turned: bytes


def hash_variants(body: bytes, profiles: Sequence[Profile], transforms: Sequence[Transform], *, seed: str) -> Variants:
    """Hash a picture as it is stored, and copies of it.

    Args:
        body: the file.
        profiles: by which to hash, one at least.
        transforms: that make the copies.
        seed: of what is random in them; with the transform's name it decides all.

    Raises:
        NotAnImage, TooLarge: as `Fingerprinter` does.
    """
    with picture_errors(), open_picture(body) as image:
        original = fingerprint(image, profiles, body).hashes
        copies: dict[str, bytearray] = {profile.name: bytearray() for profile in profiles}
        for copy in make_copies(image, transforms, seed=seed):
            for hashed in _hashes(copy, profiles):
                copies[hashed.profile] += hashed.vector
    turned = orientations(body, COMPARED)
    return Variants(
        blank=max(hashed.quality for hashed in original) < LOW_QUALITY,
        original={hashed.profile: hashed.vector for hashed in original},
        copies={name: bytes(vectors) for name, vectors in copies.items()},
        turned=b"".join(turned[orientation] for orientation in Orientation),
    )


def make_copies(image: "Image", transforms: Sequence[Transform], *, seed: str) -> Iterator[bytes]:
    """Change a picture in each way: the files.

    Args:
        image: the picture as it is stored.
        transforms: that make the copies, in this order.
        seed: of what is random in them; with the transform's name it decides all.
    """
    shown = upright(image).copy()
    shown.thumbnail((SIDE, SIDE))
    for transform in transforms:
        yield transform.apply(shown, Random(f"{seed} {transform.name}"))  # noqa: S311 - no secret


def _hashes(body: bytes, profiles: Sequence[Profile]) -> list[Hash]:
    """The hashes of a file, each algorithm run once where both its forms see the same picture."""
    with open_picture(body) as image:
        if upright(image) is not image:
            return list(fingerprint(image, profiles, body).hashes)
        algorithms = {profile.algorithm: profile for profile in profiles}
        found = dict(zip(algorithms, fingerprint(image, list(algorithms.values()), body).hashes, strict=True))
    return [found[profile.algorithm]._replace(profile=profile.name) for profile in profiles]
