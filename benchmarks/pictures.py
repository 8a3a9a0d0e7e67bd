"""JPEGs as applications have them, made of the photos that scikit-image and scikit-learn ship."""

from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from math import sqrt
from typing import Final

from PIL import Image

from devstack.pictures import photos

_LARGE_PIXELS: Final = 2_000_000
_SMALL_SIDE: Final = 240


def large() -> Iterator[bytes]:
    """Pictures of 2 megapixels, about 300 KB."""
    return of_pixels(_LARGE_PIXELS, quality=90)


def small() -> Iterator[bytes]:
    """Thumbnails of 240 pixels, about 10 KB."""
    return within(_SMALL_SIDE, quality=80)


def of_pixels(pixels: int, *, quality: int = 85) -> Iterator[bytes]:
    """Pictures of so many pixels."""
    return _made(partial(_scale, pixels=pixels), quality=quality)


def within(side: int, *, quality: int = 85) -> Iterator[bytes]:
    """Pictures whose longer side has so many pixels."""
    return _made(partial(_shrink, side=side), quality=quality)


def _made(resize: Callable[[Image.Image], Image.Image], *, quality: int) -> Iterator[bytes]:
    for photo in photos().values():
        with Image.open(BytesIO(photo)) as opened:
            image = resize(opened.convert("RGB"))
        file = BytesIO()
        image.save(file, "JPEG", quality=quality)
        yield file.getvalue()


def _scale(image: Image.Image, pixels: int) -> Image.Image:
    factor = sqrt(pixels / (image.width * image.height))
    return image.resize((round(image.width * factor), round(image.height * factor)))


def _shrink(image: Image.Image, side: int) -> Image.Image:
    factor = side / max(image.size)
    return image.resize((round(image.width * factor), round(image.height * factor)))
