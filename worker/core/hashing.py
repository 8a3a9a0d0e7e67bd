"""The perceptual hash: from a picture's bytes to the vector that Milvus stores.

The reference is the article's own function: `imagehash.average_hash(Image.open(file))`, after "Looks Like It" (Neal
Krawetz, 2011), packed row by row, the most significant bit first. A vector belongs to the version of Pillow that made
it: Pillow 13 resizes tall images in another order than Pillow 12, and up to 4 bits differ.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from io import BytesIO, UnsupportedOperation
from typing import Any, BinaryIO, Final

import imagehash
import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from worker.core import fasthash
from worker.core.errors import NotAnImage, TooLarge

BITS: Final = 64

# The formats that OSS itself processes as pictures, less HEIC, which Pillow does not read. A short list is a guard:
# Pillow would run Ghostscript on EPS. The JPEG of a camera that holds several pictures (MPO) counts as JPEG.
FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

# Pillow's own threshold for a decompression bomb: a quarter of a gigabyte at three bytes a pixel.
MAX_PIXELS: Final = 89_478_485

# The side to which a JPEG is decoded at least for a draft. Smaller ones are no faster, and change more bits: ADR 13.
_DRAFT_SIDE: Final = 256

# Without this, Pillow does not know all of them before the first file that it cannot open.
Image.init()

# Pillow only warns of a bomb below twice its threshold. Here it is an error.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


def limit_pixels(pixels: int) -> None:
    """Set, for this process, how many pixels a picture may have before Pillow calls it a bomb."""
    Image.MAX_IMAGE_PIXELS = pixels


def create_vector(file: BinaryIO | bytes) -> bytes:
    """Compute the average hash of a picture.

    The first frame of an animation is taken, alpha is dropped and EXIF orientation ignored, as the reference does.

    Args:
        file: a binary file, read from its beginning if it can seek, or the bytes themselves.

    Returns:
        8 bytes: 64 bits in row-major order, the most significant bit first. It equals
        `bytes.fromhex(str(imagehash.average_hash(image)))`.

    Raises:
        NotAnImage: not a whole image of one of `FORMATS`.
        TooLarge: more pixels than `limit_pixels` admits (by default `MAX_PIXELS`).
    """
    return _create_vector(file, fast=fast_path_fault() is None)


def create_reference_vector(file: BinaryIO | bytes) -> bytes:
    """Compute the same as `create_vector`, and raise the same, with Pillow and imagehash alone."""
    return _create_vector(file, fast=False)


def create_draft_vector(file: BinaryIO | bytes) -> bytes:
    """Compute nearly the average hash of a picture, from a JPEG that is decoded at a fraction of its size.

    libjpeg scales by 1/2, 1/4 or 1/8 before the inverse DCT, and gives the luma alone ("draft" in Pillow), so long as
    both sides keep 256 pixels. Every other format gives the vector of `create_vector`. A few bits may differ from it;
    the two must not be compared with one another.

    Args:
        file: as for `create_vector`.

    Returns:
        8 bytes, as `create_vector` does.

    Raises:
        NotAnImage: as `create_vector` does.
        TooLarge: as `create_vector` does.
    """
    with _picture_errors(), Image.open(BytesIO(_bytes(file)), formats=FORMATS) as image:
        image.draft("L", (_DRAFT_SIDE, _DRAFT_SIDE))
        return _packed(imagehash.average_hash(image).hash)


@cache
def fast_path_fault() -> str | None:
    """Find out, once in a process, whether there is a fast way and it does as the reference does; None if so.

    It is tried on pictures made for it, of all kinds that it takes.
    """
    if fasthash.MISSING is not None:
        return fasthash.MISSING
    try:
        different = [name for name, body in canaries() if not _agree(body)]
    except Exception as error:  # noqa: BLE001 - whatever it is, Pillow serves
        return f"{type(error).__name__}: {error}"
    return f"differs from Pillow: {', '.join(different)}" if different else None


def canaries() -> Iterator[tuple[str, bytes]]:
    """JPEGs of every kind that the fast way takes, by name. They are full of detail, so that nothing evens out."""
    for name, size, options in _CANARIES:
        file = BytesIO()
        _pattern(*size, grey=name == "grey").save(file, "JPEG", quality=95, **options)
        yield f"{name} {size[0]}x{size[1]}", file.getvalue()


# Weights of one half and of two, either order of the axes and the border between, sides of 8 and less.
_CANARIES: Final[tuple[tuple[str, tuple[int, int], dict[str, Any]], ...]] = (
    ("4:4:4", (64, 67), {"subsampling": 0}),
    ("4:2:2", (61, 97), {"subsampling": 1}),
    ("4:2:0", (97, 61), {"subsampling": 2}),
    ("grey", (33, 21), {}),
    ("progressive", (123, 90), {"progressive": True}),
    ("restarting", (90, 123), {"restart_marker_blocks": 3}),
    ("wide", (1333, 19), {}),
    ("tall", (19, 1333), {}),
    ("not yet tall", (30, 52), {}),
    ("just tall", (30, 53), {}),
    ("tiny", (1, 1), {}),
    ("small", (5, 7), {}),
    ("as large", (8, 8), {}),
    ("as wide", (8, 40), {}),
    ("as high", (40, 8), {}),
)


def _pattern(width: int, height: int, *, grey: bool) -> Image.Image:
    y, x, channel = np.mgrid[:height, :width, :3]
    pixels = (3 * x * x + 5 * y * y + 7 * x * y + (x + 40) * channel).astype(np.uint8)
    return Image.fromarray(pixels[:, :, 0] if grey else pixels)


def _agree(body: bytes) -> bool:
    # Not `Image.open`, which would hold the canaries to the limit of pixels.
    with JpegImageFile(BytesIO(body)) as image:
        bits = imagehash.average_hash(image).hash
        grey = image.convert("L").resize((8, 8), Image.Resampling.LANCZOS).tobytes()
    frame = fasthash.plain_frame(body)
    return frame is not None and fasthash.thumbnail(body, frame) == grey and _above_mean(grey) == _packed(bits)


def _above_mean(grey: bytes) -> bytes:
    return _packed(np.frombuffer(grey, dtype=np.uint8) > sum(grey) / BITS)


def _packed(bits: np.ndarray[Any, np.dtype[np.bool]]) -> bytes:
    return np.packbits(bits).tobytes()


def _create_vector(file: BinaryIO | bytes, *, fast: bool) -> bytes:
    with _picture_errors():
        body = _bytes(file)
        grey = _fast_thumbnail(body) if fast else None
        if grey is not None:
            return _above_mean(grey)
        with Image.open(BytesIO(body), formats=FORMATS) as image:
            return _packed(imagehash.average_hash(image).hash)


@contextmanager
def _picture_errors() -> Iterator[None]:
    """Turn whatever decoders raise into our own errors."""
    try:
        yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooLarge(str(error)) from error
    except UnidentifiedImageError as error:
        raise NotAnImage(f"no image of an accepted format ({', '.join(FORMATS)})") from error
    except MemoryError:
        raise
    except Exception as error:
        # Pillow's decoders raise whatever their parsing of a broken file ran into: OSError, ValueError, SyntaxError,
        # struct.error, EOFError and others.
        raise NotAnImage(f"{type(error).__name__}: {error}") from error


def _bytes(file: BinaryIO | bytes) -> bytes:
    if isinstance(file, bytes):
        return file
    with suppress(AttributeError, UnsupportedOperation):
        file.seek(0)
    return file.read()


def _fast_thumbnail(body: bytes) -> bytes | None:
    frame = fasthash.plain_frame(body)
    if frame is None:
        return None
    if frame.bare:
        admitted = frame.width * frame.height <= (Image.MAX_IMAGE_PIXELS or 0)
    else:
        # Pillow reads more of a header than libjpeg does, and refuses some.
        with Image.open(BytesIO(body), formats=FORMATS) as image:
            admitted = image.format == "JPEG" and image.size == (frame.width, frame.height)
    return fasthash.thumbnail(body, frame) if admitted else None
