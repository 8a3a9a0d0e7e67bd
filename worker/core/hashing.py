"""The perceptual hash: from a picture's bytes to the vector that Milvus stores.

The reference is the article's own function: `imagehash.average_hash(Image.open(file))`, after "Looks Like It" (Neal
Krawetz, 2011), packed row by row, the most significant bit first. A vector belongs to the version of Pillow that made
it: Pillow 13 resizes tall images in another order than Pillow 12, and up to 4 bits differ.
"""

import warnings
from io import BytesIO
from typing import BinaryIO, Final

import imagehash
import numpy as np
from PIL import Image, UnidentifiedImageError

from worker.core.errors import NotAnImage, TooLarge

BITS: Final = 64

# The formats that OSS itself processes as pictures, less HEIC, which Pillow does not read. A short list is a guard:
# Pillow would run Ghostscript on EPS. The JPEG of a camera that holds several pictures (MPO) counts as JPEG.
FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

# Pillow's own threshold for a decompression bomb: a quarter of a gigabyte at three bytes a pixel.
MAX_PIXELS: Final = 89_478_485

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
        file: a binary file, read from where it stands, or the bytes themselves.

    Returns:
        8 bytes: 64 bits in row-major order, the most significant bit first. It equals
        `bytes.fromhex(str(imagehash.average_hash(image)))`.

    Raises:
        NotAnImage: not a whole image of one of `FORMATS`.
        TooLarge: more pixels than `limit_pixels` admits (by default `MAX_PIXELS`).
    """
    source = BytesIO(file) if isinstance(file, bytes) else file
    try:
        with Image.open(source, formats=FORMATS) as image:
            bits = imagehash.average_hash(image).hash
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
    return np.packbits(bits).tobytes()
