"""Small pictures that are unlike each other, so that a row with another's vector is noticed."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Final

from PIL import Image

from tests.corpus import encode, photos
from worker.core.hashing import create_vector

COUNT: Final = 50
_SIZE: Final = (256, 192)
_TURNS: Final = range(0, 360, 30)


@dataclass(frozen=True, slots=True)
class Picture:
    """A JPEG of about 10 KB, and the vector that its row must have."""

    body: bytes
    vector: bytes


@cache
def pictures() -> tuple[Picture, ...]:
    """Fifty pictures, no two with the same vector."""
    found: dict[bytes, Picture] = {}
    for image in _turned_photos():
        body = encode(image, "JPEG", quality=85)
        vector = create_vector(body)
        found.setdefault(vector, Picture(body, vector))
        if len(found) == COUNT:
            return tuple(found.values())
    raise AssertionError(f"only {len(found)} of the photos differ")


def _turned_photos() -> Iterator[Image.Image]:
    small = []
    for name, body in photos().items():
        if name.endswith((".jpg", ".png")):
            with Image.open(BytesIO(body)) as opened:
                small.append(opened.convert("RGB").resize(_SIZE))
    for turn in _TURNS:
        for image in small:
            yield image.rotate(turn)
