"""Pictures for tests: real photos that packages ship, and what can be made of them."""

import struct
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import skimage
import sklearn
from PIL import Image

_SUFFIXES = {".png", ".jpg", ".jpeg", ".gif", ".tif"}
_SIZES = [(1, 1), (1, 9), (9, 1), (7, 7), (8, 8), (16, 9), (64, 64), (97, 311), (640, 30), (30, 640), (1200, 800)]


@cache
def photos() -> dict[str, bytes]:
    """The photos of scikit-image and scikit-learn as they are shipped, by file name."""
    folders = [Path(skimage.__file__).parent / "data", Path(sklearn.__file__).parent / "datasets" / "images"]
    files = sorted(file for folder in folders for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES)
    # This one is of 32-bit floating point planes in a layout that Pillow does not read.
    return {file.name: file.read_bytes() for file in files if file.name != "multipage_rgb.tif"}


@cache
def corpus() -> Mapping[str, bytes]:
    """Over 300 pictures: photos, crops and sizes of them, in every format and mode that Pillow writes, 1x1 to 12 MP.

    They take seconds to make, which every process does once, when a test first asks for them.
    """
    return dict(_pictures())


def _pictures() -> Iterator[tuple[str, bytes]]:
    yield from photos().items()
    for name in ("china.jpg", "flower.jpg", "astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"):
        with Image.open(BytesIO(photos()[name])) as opened:
            photo = opened.convert("RGB")
        for size in _SIZES:
            resized = photo.resize(size)
            for kind, body in _encodings(resized):
                yield f"{name}-{size[0]}x{size[1]}.{kind}", body
    with Image.open(BytesIO(photos()["china.jpg"])) as china:
        yield "china-12mp.jpg", encode(china.resize((4000, 3000)), "JPEG", quality=80)
        yield "china-progressive.jpg", encode(china, "JPEG", progressive=True)
        yield "china-cmyk.jpg", encode(china.convert("CMYK"), "JPEG")
        yield "china-rotated-by-exif.jpg", _with_orientation(china)
    yield from _unusual()


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of a picture in a format of Pillow's."""
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(*seed: int) -> bytes:
    """A PNG that none of another seed looks like."""
    return encode(Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)), "PNG")


def _encodings(image: Image.Image) -> Iterator[tuple[str, bytes]]:
    yield "jpg", encode(image, "JPEG", quality=85)
    yield "png", encode(image, "PNG")
    yield "webp", encode(image, "WEBP", quality=70)
    yield "gif", encode(image.quantize(64), "GIF")
    yield "bmp", encode(image, "BMP")
    yield "tiff", encode(image, "TIFF", compression="tiff_lzw")


def _with_orientation(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: rotate by 90 degrees to show
    return encode(image, "JPEG", exif=exif)


def _unusual() -> Iterator[tuple[str, bytes]]:
    random = np.random.default_rng(7)
    grey = Image.fromarray(random.integers(0, 256, (40, 60), dtype=np.uint8))
    deep = Image.fromarray(random.integers(0, 65536, (40, 60), dtype=np.uint16))
    colour = Image.fromarray(random.integers(0, 256, (40, 60, 4), dtype=np.uint8), "RGBA")
    yield "grey.png", encode(grey, "PNG")
    yield "grey.jpg", encode(grey, "JPEG")
    yield "16-bit.png", encode(deep, "PNG")
    yield "16-bit.tiff", encode(deep, "TIFF")
    yield "rgba.png", encode(colour, "PNG")
    yield "rgba.webp", encode(colour, "WEBP", lossless=True)
    yield "grey-alpha.png", encode(colour.convert("LA"), "PNG")
    yield "palette.png", encode(colour.convert("RGB").quantize(16), "PNG")
    yield "bilevel.png", encode(grey.convert("1"), "PNG")
    yield "bilevel.tiff", encode(grey.convert("1"), "TIFF", compression="group4")
    yield "animated.gif", encode(grey, "GIF", save_all=True, append_images=[grey.transpose(Image.Transpose.ROTATE_90)])
    for level in (0, 127, 255):
        yield f"solid-{level}.png", encode(Image.new("L", (33, 21), level), "PNG")


def png_of(width: int, height: int) -> bytes:
    """The beginning of a PNG that says it is of this size, in pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b"\x00" * 100))


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
