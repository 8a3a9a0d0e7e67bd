"""Whether the fast way of hashing gives the reference's vectors, bit for bit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Final

from PIL import Image

from benchmarks import photos
from benchmarks.jpegs import encode_as, kinds, make
from benchmarks.section import Table, Value
from worker.core import fasthash
from worker.core.hashing import create_reference_vector, create_vector

_SIDES: Final = (64, 97, 150, 300, 451, 640, 800)
_IMAGE_SIDE: Final = 640
_ANY_KIND: Final = 8000
_SEED: Final = 4


@dataclass(slots=True)
class Count:
    """JPEGs of one kind.

    Attributes:
        compared: how many.
        fast: how many of them the fast way takes; Pillow hashes the others.
        wrong: vectors that differ from the reference.
    """

    compared: int = 0
    fast: int = 0
    wrong: int = 0

    def add(self, body: bytes) -> None:
        """Compare one."""
        self.compared += 1
        self.fast += _is_fast(body)
        self.wrong += create_vector(body) != create_reference_vector(body)


def compare(*, quick: bool) -> Table:
    """Compare over 10,000 JPEGs, made of photos; over 100 if quick."""
    images = list(islice(photos.images(_IMAGE_SIDE), 2 if quick else None))
    rows = list(count(images, _SIDES[::3] if quick else _SIDES, 60 if quick else _ANY_KIND))
    total = {name: sum(getattr(found, name) for _, found in rows) for name in ("compared", "fast", "wrong")}
    table: list[dict[str, Value]] = [
        {"JPEGs": kind, "compared": found.compared, "hashed fast": found.fast, "wrong": found.wrong}
        for kind, found in rows
    ]
    table.append({"JPEGs": "all", "compared": total["compared"], "hashed fast": total["fast"], "wrong": total["wrong"]})
    return Table(
        "exactness",
        "JPEGs whose vectors are compared with the reference's, all 64 bits",
        table,
        (
            f"Photos: {photos.source()}, each at sides of {min(_SIDES)} to {max(_SIDES)} pixels, of random quality.",
            "Any kind: pieces and noise in any shape of 1x1 to 1500x1500; EXIF, restarts, CMYK, 4:4:0 and 4:1:1 too.",
            "What is not hashed fast, Pillow hashes.",
        ),
    )


def count(images: Sequence[Image.Image], sides: Sequence[int], any_kind: int) -> Iterator[tuple[str, Count]]:
    """Compare every picture at every size in every kind of JPEG, then so many of any kind.

    Args:
        images: in RGB, of 400x300 pixels or more.
        sides: the longer ones, in pixels.
        any_kind: how many.

    Yields:
        What was found, by kind.
    """
    random = Random(_SEED)  # noqa: S311 - the same pictures each time
    for kind in kinds():
        found = Count()
        for image in images:
            for side in sides:
                found.add(encode_as(kind, photos.fit(image, side), random.randint(1, 100)))
        yield kind.name, found
    found = Count()
    for _ in range(any_kind):
        found.add(make(random, images))
    yield "any kind", found


def _is_fast(body: bytes) -> bool:
    frame = fasthash.plain_frame(body)
    return frame is not None and fasthash.thumbnail(body, frame) is not None
