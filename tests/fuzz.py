"""JPEGs of all kinds, whole and broken, to compare the fast way of hashing with the reference: `make fuzz-hash`."""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import islice
from pathlib import Path
from random import Random
from typing import Final

from PIL import Image
from rich.console import Console

from benchmarks.jpegs import make
from tests.corpus import photos
from tests.kernel import load
from worker.core import fasthash
from worker.core.hashing import create_reference_vector, create_vector, fast_path_fault
from worker.core.pictures import limit_pixels

# A broken header may tell of a huge picture. Those are not the point.
PIXELS: Final = 4_000_000

_NAMES: Final = ("astronaut.png", "chelsea.png", "china.jpg", "coffee.png", "flower.jpg", "rocket.jpg")
_HEADER: Final = 700  # bytes, or so


def jpegs(seed: int) -> Iterator[bytes]:
    """Make JPEGs without end: of any size, quality, sampling and order, and more than half of them broken."""
    random = Random(seed)
    opened = [Image.open(BytesIO(photos()[name])).convert("RGB") for name in _NAMES]
    while True:
        body = make(random, opened)
        for _ in range(random.choice((0, 0, 1, 1, 1, 2))):
            body = random.choice(_BREAKS)(random, body)
        yield body


def outcome(function: Callable[[bytes], bytes], body: bytes) -> bytes | type[Exception]:
    """What the function gives, or the class of what it raises."""
    try:
        return function(body)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is compared
        return type(error)


def is_fast(body: bytes) -> bool:
    """Whether the fast way takes this picture."""
    frame = fasthash.plain_frame(body)
    return frame is not None and frame.width * frame.height <= PIXELS and fasthash.thumbnail(body, frame) is not None


def _truncate(random: Random, body: bytes) -> bytes:
    return body[: random.randint(0, len(body))]


def _lose_the_end(random: Random, body: bytes) -> bytes:
    return body[: -random.randint(1, 5)]


def _flip(random: Random, body: bytes) -> bytes:
    return _flipped(random, body, len(body))


def _flip_the_header(random: Random, body: bytes) -> bytes:
    return _flipped(random, body, _HEADER)


def _flipped(random: Random, body: bytes, end: int) -> bytes:
    flipped = bytearray(body)
    for _ in range(random.choice((1, 1, 1, 2, 10))):
        if flipped:
            flipped[random.randrange(min(len(flipped), end))] = random.choice((random.getrandbits(8), 0, 0xFF))
    return bytes(flipped)


def _change_a_marker(random: Random, body: bytes) -> bytes:
    marks = [where for where, byte in enumerate(body[:_HEADER]) if byte == 0xFF]
    if not marks:
        return body
    where = random.choice(marks)
    return body[: where + 1] + bytes([random.randrange(0xC0, 0x100)]) + body[where + 2 :]


def _insert(random: Random, body: bytes) -> bytes:
    where = random.randint(0, len(body))
    return body[:where] + random.randbytes(random.randint(1, 9)) + body[where:]


def _insert_a_segment(random: Random, body: bytes) -> bytes:
    content = random.choice((b"JFIF\0", b"Exif\0\0", b"Adobe", b"MPF\0", b"ICC_PROFILE\0", b"Photoshop 3.0\x008BIM"))
    content += random.randbytes(random.randint(0, 12))
    marker = bytes([0xFF, random.choice((0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE, 0xDB, 0xDC, 0xDD))])
    return body[:2] + marker + (len(content) + 2).to_bytes(2) + content + body[2:]


def _remove(random: Random, body: bytes) -> bytes:
    where = random.randint(0, len(body))
    return body[:where] + body[where + random.randint(1, 9) :]


def _append(random: Random, body: bytes) -> bytes:
    return body + random.choice((random.randbytes(20), body, b"\xff\xd9", b"\0" * 100))


_BREAKS: Final = (
    _truncate,
    _lose_the_end,
    _flip,
    _flip,
    _flip_the_header,
    _flip_the_header,
    _change_a_marker,
    _insert,
    _insert_a_segment,
    _remove,
    _append,
)


def main() -> None:
    """Compare as many as the command line says, and fail on any difference."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="how many pictures")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="to make the same again")
    parser.add_argument("--kernel", type=Path, help="another build of the extension module")
    given = parser.parse_args()
    if given.kernel is not None:
        vars(fasthash)["_fasthash"] = load(given.kernel)
    warnings.simplefilter("ignore", UserWarning)
    limit_pixels(PIXELS)
    if fault := fast_path_fault():
        parser.exit(1, f"there is no fast way: {fault}\n")
    fast = refused = different = 0
    console = Console()
    for number, body in enumerate(islice(jpegs(given.seed), given.count)):
        expected = outcome(create_reference_vector, body)
        fast += is_fast(body)
        refused += isinstance(expected, type)
        if outcome(create_vector, body) != expected:
            different += 1
            console.print(f"number {number} of seed {given.seed} differs")
    console.print(
        f"seed {given.seed}: {given.count} pictures, {fast} taken fast, {refused} refused, {different} different"
    )
    parser.exit(different > 0)


if __name__ == "__main__":
    main()
