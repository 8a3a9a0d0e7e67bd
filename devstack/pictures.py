"""Pictures for the demo: real photos that scikit-image and scikit-learn ship, and copies as people make them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import skimage
import sklearn
from PIL import Image, ImageEnhance

# Photos of scenes and things, of which a tenant would have its own. The rest of scikit-image's data are textures,
# microscopy and test charts.
_PHOTOS: Final = (
    "astronaut.png",
    "camera.png",
    "chelsea.png",
    "china.jpg",
    "coffee.png",
    "coins.png",
    "flower.jpg",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)


@dataclass(frozen=True, slots=True)
class Copy:
    """A changed copy of a photo: what was done to it, and the bytes."""

    change: str
    body: bytes


def photos() -> Mapping[str, bytes]:
    """The photos as they are shipped, by file name."""
    folders = [Path(skimage.__file__).parent / "data", Path(sklearn.__file__).parent / "datasets" / "images"]
    found = {file.name: file for folder in folders for file in folder.iterdir()}
    return {name: found[name].read_bytes() for name in _PHOTOS}


def copies(photo: bytes) -> Iterator[Copy]:
    """Copies that a person would call the same picture."""
    with Image.open(BytesIO(photo)) as opened:
        image = opened.convert("RGB")
    for change, make in CHANGES.items():
        file = BytesIO()
        make(image).save(file, "JPEG", quality=40 if change == "recompressed" else 85)
        yield Copy(change, file.getvalue())


def _crop(image: Image.Image) -> Image.Image:
    """Cut 1 % off each side."""
    x, y = image.width // 100, image.height // 100
    return image.crop((x, y, image.width - x, image.height - y))


CHANGES: Final[Mapping[str, Callable[[Image.Image], Image.Image]]] = {
    "resized": lambda image: image.resize((image.width // 2, image.height // 2)),
    "recompressed": lambda image: image,
    "cropped": _crop,
    "brightened": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
}
