"""The fast way from a plain JPEG to the 8x8 grey pixels of its average hash, the same to the bit as Pillow's.

libjpeg-turbo (simplejpeg's wheels) decodes with the settings that Pillow has, into memory that is used again, and C of
ours shrinks the pixels. Whatever is not plain, or gives libjpeg as much as a warning, is not taken: Pillow decides.
"""

import os
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

try:
    import simplejpeg

    from worker.core import _fasthash
except ImportError as error:
    MISSING: str | None = str(error)
else:
    MISSING = None
"""Why there is no fast way; None if there is one."""

if TYPE_CHECKING:
    from typing_extensions import CapsuleType

# Memory that is kept for the next picture: no more pieces than cores, and none of over 16 megapixels. Their
# sizes are round, so that a picture fits where one of about its size was.
_KEPT: Final = os.cpu_count() or 1
_KEPT_BYTES: Final = 48 * 2**20
_STEP: Final = 4 * 2**20

# The segments of a header: tables and the restart interval, application data and comments, frames of Huffman codes.
# Arithmetic codes are not among them: nothing here could write them, to try them.
_START: Final = b"\xff\xd8"
_SEGMENT: Final = struct.Struct(">xBH")
_TABLES: Final = frozenset({0xC4, 0xDB, 0xDD})
_OTHERS: Final = frozenset({0xFE, *range(0xE0, 0xF0)})
_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2})
_SCAN: Final = 0xDA
_JFIF: Final = b"\xff\xe0\x00\x10JFIF\x00"

# Of a frame: bits a channel, height, width, channels. For each channel its name, sampling and table follow.
_FRAME: Final = struct.Struct(">BHHB")
_BITS: Final = 8

# How many channels there are, by how finely they are sampled across and down: grey, and 4:4:4, 4:2:2 and 4:2:0.
_CHANNELS: Final = {bytes([first]): 1 for first in (0x11, 0x21, 0x22)} | {
    bytes([first, 0x11, 0x11]): 3 for first in (0x11, 0x21, 0x22)
}

_frames: list[bytearray] = []


class Frame(NamedTuple):
    """What the header of a plain JPEG says.

    Attributes:
        width: in pixels.
        height: in pixels.
        channels: 1 for grey, 3 for colour.
        bare: there is nothing else in it but tables and the usual JFIF segment, nothing that Pillow could refuse.
    """

    width: int
    height: int
    channels: int
    bare: bool


def plain_frame(body: bytes) -> Frame | None:
    """Read the header of a JPEG of 8 bits, grey or of three colours, in Huffman codes. None if it is anything else."""
    if not body.startswith(_START):
        return None
    frame, bare, position = None, True, len(_START)
    while body.startswith(b"\xff", position) and position + _SEGMENT.size <= len(body):
        kind, length = _SEGMENT.unpack_from(body, position)
        if kind == _SCAN:
            return frame and frame._replace(bare=bare)
        if kind in _FRAMES and frame is None:
            frame = _frame(body[position + 4 : position + 2 + length])
            if frame is None:
                return None
        elif kind not in _TABLES:
            if kind not in _OTHERS:
                return None
            bare = bare and body.startswith(_JFIF, position)
        position += 2 + length
    return None


def _frame(segment: bytes) -> Frame | None:
    channels = _CHANNELS.get(segment[_FRAME.size + 1 :: 3])
    if channels is None or len(segment) != _FRAME.size + 3 * channels:
        return None
    bits, height, width, told = _FRAME.unpack_from(segment)
    if (bits, told) != (_BITS, channels) or width == 0 or height == 0:
        return None
    return Frame(width, height, channels, bare=False)


def thumbnail(body: bytes, frame: Frame) -> bytes | None:
    """Decode a plain JPEG and shrink it to 8x8 grey pixels, as `convert("L").resize((8, 8), LANCZOS)` does.

    Args:
        body: the file.
        frame: its header; it is for the caller to see that the picture is not too large.

    Returns:
        64 bytes, row by row; None if the picture is not whole.
    """
    room = _take(frame.width * frame.height * frame.channels)
    try:
        simplejpeg.decode_jpeg(body, "GRAY" if frame.channels == 1 else "RGB", buffer=room)
        return _fasthash.thumbnail(room, frame.channels, _axis(frame.width), _axis(frame.height))
    except (ValueError, RuntimeError):
        return None
    finally:
        _give_back(room)


# Pictures of one application have few sizes, and the sines cost a seventh of a small picture's time.
@lru_cache(maxsize=32)
def _axis(size: int) -> "CapsuleType":
    return _fasthash.axis(size)


def _take(size: int) -> bytearray:
    try:
        room = _frames.pop()
    except IndexError:
        room = bytearray()
    return room if len(room) >= size else bytearray(size + -size % _STEP)


def _give_back(room: bytearray) -> None:
    if len(room) <= _KEPT_BYTES and len(_frames) < _KEPT:
        _frames.append(room)
