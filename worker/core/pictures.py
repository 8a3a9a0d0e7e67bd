"""Pictures as Pillow opens them: which are admitted, what their errors mean, and how they are shown."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Final

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from worker.core.errors import NotAnImage, TooLarge

# The formats that OSS itself processes as pictures, less HEIC, which Pillow does not read. A short list is a guard:
# Pillow would run Ghostscript on EPS. The JPEG of a camera that holds several pictures (MPO) counts as JPEG.
FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

# Pillow's own threshold for a decompression bomb: a quarter of a gigabyte at three bytes a pixel.
MAX_PIXELS: Final = 89_478_485

# How a picture is to be turned to be shown, by the values of EXIF's orientation. 1 is not at all.
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Modes of 16 bits a sample and more. "I" is how 16 bits come out of some formats.
_DEEP: Final = frozenset({"I", "I;16", "I;16L", "I;16B", "I;16N"})
_DEEPEST: Final = (1 << 16) - 1

# Without this, Pillow does not know all of them before the first file that it cannot open.
Image.init()

# Pillow only warns of a bomb below twice its threshold. Here it is an error.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


def limit_pixels(pixels: int) -> None:
    """Set, for this process, how many pixels a picture may have before Pillow calls it a bomb."""
    Image.MAX_IMAGE_PIXELS = pixels


@contextmanager
def picture_errors() -> Iterator[None]:
    """Turn whatever decoders raise into our own errors.

    Raises:
        NotAnImage: not a whole image of one of `FORMATS`.
        TooLarge: more pixels than `limit_pixels` admits (by default `MAX_PIXELS`).
    """
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


def open_picture(body: bytes) -> Image.Image:
    """Open a picture of an accepted format, without decoding it."""
    return Image.open(BytesIO(body), formats=FORMATS)


def is_upright(image: Image.Image) -> bool:
    """Whether a picture is shown as it is stored."""
    return _turn(image) is None


def upright(image: Image.Image) -> Image.Image:
    """The picture as it is shown, in RGB or L.

    Its EXIF orientation is applied, transparency is laid over white, and more than 8 bits a sample are scaled to 8.
    """
    # Pillow turns a TIFF itself when it is decoded, and forgets its orientation then.
    image.load()
    turn = _turn(image)
    turned = image if turn is None else image.transpose(turn)
    if turned.mode in _DEEP:
        samples = np.clip(np.asarray(turned).astype(np.int64), 0, _DEEPEST)
        return Image.fromarray((samples >> 8).astype(np.uint8))
    if turned.has_transparency_data:
        shown = turned.convert("RGBA")
        white = Image.new("RGBA", shown.size, "white")
        return Image.alpha_composite(white, shown).convert("RGB")
    return turned if turned.mode in ("RGB", "L") else turned.convert("RGB")


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - EXIF that cannot be parsed says nothing; the picture is as good as without
        return None
