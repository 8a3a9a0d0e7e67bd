"""How far `ahash_draft` agrees with the reference, and what it gains: JPEGs of several sizes, qualities and kinds."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any, Final

from rich.console import Console

from benchmarks.jpegs import encode
from benchmarks.photos import images, scaled, source
from benchmarks.section import Section, Table
from worker.core.hashing import create_draft_vector, create_reference_vector, create_vector
from worker.testing import hamming

_METHODS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "reference": create_reference_vector,
    "exact": create_vector,
    "draft": create_draft_vector,
}
_KINDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "quality 95": {"quality": 95},
    "quality 85": {"quality": 85},
    "quality 60": {"quality": 60},
    "quality 85, 4:4:4": {"quality": 85, "subsampling": 0},
    "quality 85, progressive": {"quality": 85, "progressive": True},
}
_FAR: Final = 3


@dataclass(frozen=True, slots=True)
class Tried:
    """One picture, hashed in each way.

    Attributes:
        bits: in which the draft differs from the reference.
        seconds: of the processor, by method.
    """

    bits: int
    seconds: Mapping[str, float]


def compare(body: bytes, first: int = 0) -> Tried:
    """Hash a picture in each way, one after the other, beginning with the way of that number."""
    vectors, seconds = {}, {}
    names = list(_METHODS)
    for n in range(len(names)):
        name = names[(first + n) % len(names)]
        begun = time.thread_time()
        vectors[name] = _METHODS[name](body)
        seconds[name] = time.thread_time() - begun
    return Tried(hamming(vectors["draft"], vectors["reference"]), seconds)


def row(of: str, tried: Sequence[Tried]) -> dict[str, float | int | str | None]:
    """Sum up pictures: shares by how many bits differ, and medians of the ratios of their times."""
    shares = [sum(one.bits == bits for one in tried) / len(tried) for bits in range(_FAR)]
    return {
        "JPEGs": of,
        "pictures": len(tried),
        "0 bits, %": 100 * shares[0],
        "1 bit, %": 100 * shares[1],
        "2 bits, %": 100 * shares[2],
        "3 and more, %": 100 * (1 - sum(shares)),
        "most bits": max(one.bits for one in tried),
        "times the reference": median(one.seconds["reference"] / one.seconds["draft"] for one in tried),
        "times the exact": median(one.seconds["exact"] / one.seconds["draft"] for one in tried),
    }


def run(console: Console, quick: bool) -> Iterator[Table]:
    """Compare photos of four sizes in five kinds of JPEG."""
    sizes = {
        "12 MP": partial(scaled, 12_000_000),
        "2 MP": partial(scaled, 2_000_000),
        "600 pixels": partial(images, 600),
        "300 pixels": partial(images, 300),
    }
    notes = (f"Photos of {source()}. Those of 12 MP are enlarged, which leaves them less detail.", *_NOTES)
    by_size: dict[str, list[Tried]] = {}
    by_kind: dict[str, list[Tried]] = {kind: [] for kind in _KINDS}
    for size, make in sizes.items():
        if quick and size == "12 MP":
            continue
        with console.status(f"{size}"):
            for number, image in enumerate(make()):
                for kind, options in _KINDS.items():
                    tried = compare(encode(image, **options), first=number)
                    by_size.setdefault(size, []).append(tried)
                    by_kind[kind].append(tried)
    yield Table("sizes", "ahash_draft against the reference, by size", [row(*one) for one in by_size.items()], notes)
    yield Table("kinds", "ahash_draft against the reference, by kind", [row(*one) for one in by_kind.items()], notes)


_NOTES: Final = (
    "Each photo is there once for each size and kind: a size is of all kinds, a kind of all sizes.",
    "Times are processor time, one after the other on the same picture, in an order that goes round.",
)


SECTION: Final = Section("agreement", "how far the profile ahash_draft agrees with the reference", run)
