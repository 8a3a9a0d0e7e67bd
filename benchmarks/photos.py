"""Real photos to measure with, as JPEGs of the sizes that applications have."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from math import sqrt
from pathlib import Path
from typing import Final

from PIL import Image

from benchmarks.jpegs import encode
from devstack import pictures

# What Debian's packages hold beside photos is drawn: wallpapers, masks, charts and checkerboards.
_WALLPAPERS: Final = Path("backgrounds/mate/nature")
NATURE: Final = (
    "Aqua.jpg",
    "Blinds.jpg",
    "Dune.jpg",
    "FreshFlower.jpg",
    "Garden.jpg",
    "GreenMeadow.jpg",
    "LadyBird.jpg",
    "RainDrops.jpg",
    "Storm.jpg",
    "TwoWings.jpg",
    "Wood.jpg",
    "YellowFlower.jpg",
)
_SAMPLES: Final = Path("doc/opencv-doc/examples/data")
EXAMPLES: Final = (
    "aero1.jpg",
    "aloeL.jpg",
    "apple.jpg",
    "baboon.jpg",
    "basketball1.png",
    "board.jpg",
    "box_in_scene.png",
    "building.jpg",
    "butterfly.jpg",
    "chicky_512.png",
    "ela_original.jpg",
    "fruits.jpg",
    "graf1.png",
    "home.jpg",
    "left.jpg",
    "left01.jpg",
    "leuvenA.jpg",
    "licenseplate_motion.jpg",
    "messi5.jpg",
    "orange.jpg",
    "right.jpg",
    "rubberwhale1.png",
    "squirrel_cls.jpg",
    "stuff.jpg",
)

_LARGE_PIXELS: Final = 2_000_000
_SMALL_SIDE: Final = 240


@dataclass(frozen=True, slots=True)
class Photos:
    """Files as they are shipped.

    Attributes:
        source: where they are from, for the notes of a table.
        large: those that pictures of megapixels are made of.
        every: those that smaller pictures are made of.
    """

    source: str
    large: tuple[bytes, ...]
    every: tuple[bytes, ...]


def find(share: Path = Path("/usr/share")) -> Photos:
    """Find Debian's photos (1 to 5 megapixels, and small ones), or take those of the wheels (0.2 to 2 megapixels).

    Nothing is installed here. `apt-get install mate-backgrounds opencv-doc` brings Debian's.
    """
    large = [share / _WALLPAPERS / name for name in NATURE]
    small = [share / _SAMPLES / name for name in EXAMPLES]
    if all(file.is_file() for file in large + small):
        shipped = tuple(file.read_bytes() for file in large + small)
        source = f"Debian's mate-backgrounds ({len(large)} photos) and opencv-doc ({len(small)})"
        return Photos(source, shipped[: len(large)], shipped)
    shipped = tuple(pictures.photos().values())
    return Photos(f"scikit-image and scikit-learn ({len(shipped)} photos, most of them small)", shipped, shipped)


@cache
def _found() -> Photos:
    return find()


def source() -> str:
    """Where the photos are from."""
    return _found().source


def large() -> Iterator[bytes]:
    """Pictures of 2 megapixels, some 300 KB."""
    return of_pixels(_LARGE_PIXELS, quality=90)


def small() -> Iterator[bytes]:
    """Thumbnails of 240 pixels, about 10 KB."""
    return within(_SMALL_SIDE, quality=80)


def of_pixels(pixels: int, *, quality: int = 85) -> Iterator[bytes]:
    """Pictures of so many pixels. Of the larger photos only, for what is enlarged has less detail than a camera's."""
    return (encode(image, quality=quality) for image in scaled(pixels))


def within(side: int, *, quality: int = 85) -> Iterator[bytes]:
    """Pictures whose longer side has so many pixels."""
    return (encode(image, quality=quality) for image in images(side))


def scaled(pixels: int) -> Iterator[Image.Image]:
    """The larger photos in RGB, of so many pixels."""
    return _resized(_found().large, partial(_scale, pixels=pixels))


def images(side: int) -> Iterator[Image.Image]:
    """Every photo in RGB, its longer side of so many pixels."""
    return _resized(_found().every, partial(fit, side=side))


def fit(image: Image.Image, side: int) -> Image.Image:
    """Scale a picture so that its longer side has so many pixels."""
    return _times(image, side / max(image.size))


def _resized(shipped: Iterable[bytes], resize: Callable[[Image.Image], Image.Image]) -> Iterator[Image.Image]:
    for photo in shipped:
        with Image.open(BytesIO(photo)) as opened:
            yield resize(opened.convert("RGB"))


def _scale(image: Image.Image, pixels: int) -> Image.Image:
    return _times(image, sqrt(pixels / (image.width * image.height)))


def _times(image: Image.Image, factor: float) -> Image.Image:
    return image.resize((round(image.width * factor), round(image.height * factor)))
