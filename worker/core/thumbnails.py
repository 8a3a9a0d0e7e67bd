"""Thumbnails: small JPEGs of pictures, as they are shown."""

from io import BytesIO
from typing import Final

from PIL import Image

from worker.core.pictures import open_picture, picture_errors, upright

_QUALITY: Final = 80


def make_thumbnail(body: bytes, side: int) -> bytes:
    """Make a JPEG of a picture, at the most `side` pixels wide and high; a smaller picture keeps its size.

    It is upright (its EXIF orientation applied), transparency is laid over white, and it has no metadata.

    Raises:
        NotAnImage: not a whole image of an accepted format.
        TooLarge: more pixels than `limit_pixels` admits.
    """
    with picture_errors(), open_picture(body) as image:
        # A JPEG is decoded at an eighth to the whole of its size; twice the side leaves something to scale well from.
        image.draft("RGB", (2 * side, 2 * side))
        shown = upright(image)
        shown.thumbnail((side, side), Image.Resampling.LANCZOS)
        # A picture of its own: what the opened one carries (EXIF, comments, a colour profile) would be saved with it.
        bare = Image.new(shown.mode, shown.size)
        bare.paste(shown)
        buffer = BytesIO()
        bare.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
        return buffer.getvalue()
