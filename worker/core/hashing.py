"""The perceptual hash: from a picture's bytes to the vector that Milvus stores.

The reference is the article's own function: `imagehash.average_hash(Image.open(file))`, after "Looks Like It" (Neal
Krawetz, 2011), packed row by row, the most significant bit first. A vector belongs to the version of Pillow that made
it: Pillow 13 resizes tall images in another order than Pillow 12, and up to 4 bits differ.
"""

from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from io import BytesIO, UnsupportedOperation
from typing import Any, BinaryIO, Final, NamedTuple, Self

import imagehash
import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from worker.core import fasthash
from worker.core.pictures import is_upright, open_picture, picture_errors

BITS: Final = 64

# The side to which a JPEG is decoded at least for a draft. Smaller ones are no faster, and change more bits: ADR 13.
DRAFT_SIDE: Final = 256


class Thumbnail(NamedTuple):
    """What an average hash is made of.

    Attributes:
        width: of the picture, in pixels.
        height: the same.
        grey: 64 bytes, row by row.
    """

    width: int
    height: int
    grey: bytes


class Vector(bytes):
    """An average hash that still knows what it was made of.

    Attributes:
        width: of the picture, in pixels.
        height: the same.
        grey: 64 bytes, row by row: the 8x8 pixels that were compared with their mean.
    """

    width: int
    height: int
    grey: bytes

    @classmethod
    def of(cls, thumbnail: Thumbnail, packed: bytes) -> Self:
        """Make one of the packed bits."""
        made = cls(packed)
        made.width, made.height, made.grey = thumbnail
        return made


def create_vector(file: BinaryIO | bytes) -> bytes:
    """Compute the average hash of a picture.

    The first frame of an animation is taken, alpha is dropped and EXIF orientation ignored, as the reference does.

    Args:
        file: a binary file, read from its beginning if it can seek, or the bytes themselves.

    Returns:
        8 bytes: 64 bits in row-major order, the most significant bit first. It equals
        `bytes.fromhex(str(imagehash.average_hash(image)))`. They are a `Vector`.

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
    with picture_errors(), open_picture(_bytes(file)) as image:
        image.draft("L", (DRAFT_SIDE, DRAFT_SIDE))
        return _packed(imagehash.average_hash(image).hash)


def count_pixels(body: bytes) -> int:
    """Read in a picture's header how many pixels it has; 0 where `create_vector` refuses it without decoding it."""
    frame = fasthash.plain_frame(body)
    if frame is not None:
        return frame.width * frame.height
    try:
        with open_picture(body) as image:
            return image.width * image.height
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - `create_vector` meets it again, and says what is wrong
        return 0


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
    return frame is not None and fasthash.thumbnail(body, frame) == grey and above_mean(grey) == _packed(bits)


def above_mean(grey: bytes) -> bytes:
    """The average hash of 8x8 grey pixels: 8 bytes."""
    return _packed(np.frombuffer(grey, dtype=np.uint8) > sum(grey) / BITS)


def _packed(bits: np.ndarray[Any, np.dtype[np.bool]]) -> bytes:
    return np.packbits(bits).tobytes()


def _create_vector(file: BinaryIO | bytes, *, fast: bool) -> bytes:
    with picture_errors():
        body = _bytes(file)
        thumbnail = fast_thumbnail(body) if fast else None
        if thumbnail is not None:
            return Vector.of(thumbnail, above_mean(thumbnail.grey))
        with open_picture(body) as image:
            # What imagehash begins with. It scales a picture of this size no more.
            small = image.convert("L").resize((8, 8), Image.Resampling.LANCZOS)
            shown = Thumbnail(image.width, image.height, small.tobytes())
            return Vector.of(shown, _packed(imagehash.average_hash(small).hash))


def _bytes(file: BinaryIO | bytes) -> bytes:
    if isinstance(file, bytes):
        return file
    with suppress(AttributeError, UnsupportedOperation):
        file.seek(0)
    return file.read()


def fast_thumbnail(body: bytes, *, upright: bool = False) -> Thumbnail | None:
    """The 8x8 grey pixels of an average hash, the fast way; None where that does not take the picture.

    Args:
        body: the picture's bytes.
        upright: do not take a picture that has to be turned to be shown.

    Raises:
        Exception: whatever Pillow raises of a picture that is not admitted, see `picture_errors`.
    """
    frame = fasthash.plain_frame(body)
    if frame is None:
        return None
    if frame.bare:
        admitted = frame.width * frame.height <= (Image.MAX_IMAGE_PIXELS or 0)
    else:
        # Pillow reads more of a header than libjpeg does, and refuses some.
        with open_picture(body) as image:
            admitted = image.format == "JPEG" and image.size == (frame.width, frame.height)
            admitted = admitted and (is_upright(image) or not upright)
    grey = fasthash.thumbnail(body, frame) if admitted else None
    return None if grey is None else Thumbnail(frame.width, frame.height, grey)
