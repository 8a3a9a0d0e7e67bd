"""JPEGs of every kind, to compare the fast way of hashing with the reference."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from random import Random
from typing import Any, Final

import numpy as np
import simplejpeg
from PIL import Image, ImageFile

_SAMPLINGS: Final = ("4:4:4", "4:2:2", "4:2:0")
_ROOM: Final = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Kind:
    """How a photo is encoded.

    Attributes:
        name: for tables.
        mode: Pillow's, `RGB` or `L`.
        options: for Pillow's encoder.
    """

    name: str
    mode: str
    options: dict[str, Any]


def kinds() -> Iterator[Kind]:
    """Colour in three samplings, and grey; each baseline and progressive."""
    for order, progressive in (("baseline", False), ("progressive", True)):
        for number, sampling in enumerate(_SAMPLINGS):
            yield Kind(f"{sampling}, {order}", "RGB", {"subsampling": number, "progressive": progressive})
        yield Kind(f"grey, {order}", "L", {"progressive": progressive})


def encode_as(kind: Kind, image: Image.Image, quality: int) -> bytes:
    """Encode a picture in RGB."""
    return encode(image if kind.mode == image.mode else image.convert(kind.mode), quality=quality, **kind.options)


def make(random: Random, images: Sequence[Image.Image]) -> bytes:
    """Make any JPEG: a piece of a picture or noise, stretched to any size of up to 1,500 pixels, encoded in any way.

    Some are of kinds that the fast way does not take: CMYK, RGB kept as it is, 4:4:0, 4:1:1, several pictures in one.

    Args:
        random: decides.
        images: in RGB, of 400x300 pixels or more.
    """
    return _encoded(random, _picture(random, images))


def encode(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """The bytes of a picture in a format of Pillow's."""
    file = BytesIO()
    with _room():
        image.save(file, kind, **options)
    return file.getvalue()


@contextmanager
def _room() -> Iterator[None]:
    """Give Pillow's encoder a buffer that holds any of these: its own is too small for progressive noise."""
    usual = ImageFile.MAXBLOCK
    ImageFile.MAXBLOCK = _ROOM
    try:
        yield
    finally:
        ImageFile.MAXBLOCK = usual


def _picture(random: Random, images: Sequence[Image.Image]) -> Image.Image:
    longest = random.choice((9, 40, 200, 200, 600, 1500))
    size = random.randint(1, longest), random.randint(1, longest)
    if random.random() < 0.2:
        pixels = np.random.default_rng(random.getrandbits(32)).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        return Image.fromarray(pixels)
    return random.choice(images).resize(size, box=_box(random))


def _box(random: Random) -> tuple[int, int, int, int]:
    left, top = random.randint(0, 200), random.randint(0, 100)
    return left, top, left + random.randint(1, 200), top + random.randint(1, 200)


def _encoded(random: Random, picture: Image.Image) -> bytes:
    kind = random.random()
    if kind < 0.08:
        sampling = random.choice(("440", "411", "420"))
        return bytes(simplejpeg.encode_jpeg(np.array(picture), random.randint(1, 100), colorsubsampling=sampling))
    options: dict[str, Any] = {
        "quality": random.randint(1, 100),
        "subsampling": random.randint(0, 2),
        "progressive": random.random() < 0.3,
        "optimize": random.random() < 0.3,
        "restart_marker_blocks": random.choice((0, 0, 0, 1, 7)),
    }
    if random.random() < 0.3:
        exif = Image.Exif()
        exif[0x0112] = random.randint(0, 9)
        options |= {"exif": exif, "comment": b"of no matter", "icc_profile": random.randbytes(300)}
    if kind < 0.2:
        picture = picture.convert(random.choice(("L", "L", "CMYK")))
    elif kind < 0.24:
        options |= {"keep_rgb": True, "subsampling": 0}
    elif kind < 0.28:
        return encode(picture, "MPO", save_all=True, append_images=[picture])
    return encode(picture, **options)
