"""How near the estimate of chance comes to a count: crops of photos, with copies planted among them."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from benchmarks.jpegs import encode
from benchmarks.originals import find
from benchmarks.photos import fit
from benchmarks.section import Section, Table, Value
from contract import PROFILES, Profile
from worker.core.chance import Estimate
from worker.core.fingerprinting import fingerprint
from worker.core.fingerprints import LOW_QUALITY

NAMES: Final = ("ahash", "dhash", "phash", "pdq")
SAMPLE: Final = 8192
_SIDE: Final = 400
_COPIED: Final = 0.2
_LEAST_CROP: Final = 0.3
# Of so many pairs or fewer, a count says little.
_ENOUGH_PAIRS: Final = 10
_QUARTER: Final = 4
_DRAWS: Final = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Hashed:
    """Hashes of crops, by one profile.

    Attributes:
        vectors: of shape (n, bytes), in random order.
        originals: of shape (n,): the number of the photo that each is a crop of.
    """

    vectors: NDArray[np.uint8]
    originals: NDArray[np.int64]


def crops(photos: Sequence[Image.Image], wanted: int, random: Random) -> Iterator[tuple[int, Image.Image]]:
    """Random parts of photos, and the number of the photo; every fifth time, a copy of the last one."""
    for _ in range(wanted):
        number = random.randrange(len(photos))
        photo = photos[number]
        width, height = (round(side * random.uniform(_LEAST_CROP, 1)) for side in photo.size)
        left, top = random.randint(0, photo.width - width), random.randint(0, photo.height - height)
        crop = photo.crop((left, top, left + width, top + height))
        yield number, crop
        if random.random() < _COPIED:
            smaller = crop.resize((max(1, round(width * 0.7)), max(1, round(height * 0.7))))
            with Image.open(BytesIO(encode(smaller, quality=60))) as copy:
                yield number, copy.convert("RGB")


def hash_crops(made: Iterable[tuple[int, Image.Image]], profiles: Sequence[Profile]) -> Mapping[str, Hashed]:
    """Hash crops by each profile; those of low quality are left out, as searches do."""
    vectors: dict[str, list[bytes]] = {profile.name: [] for profile in profiles}
    originals: dict[str, list[int]] = {profile.name: [] for profile in profiles}
    for number, crop in made:
        for hashed in fingerprint(crop, profiles, b"").hashes:
            if hashed.quality >= LOW_QUALITY:
                vectors[hashed.profile].append(hashed.vector)
                originals[hashed.profile].append(number)
    return {
        profile.name: Hashed(
            np.frombuffer(b"".join(vectors[profile.name]), np.uint8).reshape(-1, profile.bytes),
            np.array(originals[profile.name], np.int64),
        )
        for profile in profiles
    }


@dataclass(frozen=True, slots=True)
class _Draw:
    """One sample, and queries that are not in it, each by distance: of shape (queries, distances).

    Attributes:
        expected: what the estimate says.
        counted: crops of other photos, scaled to the number of all crops.
        pairs: of shape (distances,): such crops of all queries, as they were counted.
    """

    expected: NDArray[np.float64]
    counted: NDArray[np.float64]
    pairs: NDArray[np.int64]


def compare(profile: Profile, hashed: Hashed, queries: int) -> list[dict[str, Value]]:
    """Compare the estimate with a count of all pairs of a query and a crop of another photo, by distance."""
    distances = range(17) if profile.bits == PROFILES["ahash"].bits else range(0, 91, 6)
    draws = [_draw(profile, hashed, queries, distances, seed) for seed in _DRAWS]
    return [_row(profile, distance, draws, column) for column, distance in enumerate(distances)]


def _draw(profile: Profile, hashed: Hashed, queries: int, distances: Sequence[int], seed: int) -> _Draw:
    order = np.random.default_rng(seed).permutation(len(hashed.vectors))
    sample = min(SAMPLE, len(order) - queries)
    sampled, asked = order[:sample], order[sample : sample + queries]
    estimate = Estimate.of(profile, hashed.vectors[sampled].tobytes(), len(hashed.vectors))
    words = np.ascontiguousarray(hashed.vectors).view(np.uint64)
    expected, counted = np.zeros((2, len(asked), len(distances)))
    pairs = np.zeros(len(distances), np.int64)
    for row, query in enumerate(asked):
        apart = np.bitwise_count(words ^ words[query]).sum(axis=1, dtype=np.int64)
        unrelated = np.sort(apart[hashed.originals != hashed.originals[query]])
        within = np.searchsorted(unrelated, distances, side="right")
        pairs += within
        counted[row] = within * len(apart) / len(unrelated)  # the estimate is of all rows
        expected[row] = estimate.chances(hashed.vectors[query].tobytes(), distances)
    return _Draw(expected, counted, pairs)


def _row(profile: Profile, distance: int, draws: Sequence[_Draw], column: int) -> dict[str, Value]:
    expected = np.concatenate([draw.expected[:, column] for draw in draws])
    counted = np.concatenate([draw.counted[:, column] for draw in draws])
    ratios = [_ratio(draw.expected[:, column], draw.counted[:, column]) for draw in draws]
    known = [ratio for ratio in ratios if ratio is not None]
    order = np.argsort(expected, kind="stable")
    quarter = len(order) // _QUARTER
    return {
        "profile": profile.name,
        "distance": distance,
        "pairs": int(sum(draw.pairs[column] for draw in draws)),
        "counted": float(counted.mean()),
        "expected": float(expected.mean()),
        "ratio": _ratio(expected, counted),
        "least": min(known, default=None),
        "most": max(known, default=None),
        "ratio, least quarter": _ratio(expected[order[:quarter]], counted[order[:quarter]]),
        "ratio, most quarter": _ratio(expected[order[-quarter:]], counted[order[-quarter:]]),
    }


def _ratio(expected: NDArray[np.float64], counted: NDArray[np.float64]) -> float | None:
    return float(expected.sum() / counted.sum()) if counted.sum() >= _ENOUGH_PAIRS else None


def run(console: Console, quick: bool) -> Iterator[Table]:
    """Compare for each profile."""
    root = Path(os.environ.get("PHOTOS", "/"))
    with console.status("photos"):
        photos = [_opened(body) for body in find(root).values()]
    wanted, queries = (2_000, 200) if quick else (84_000, 1_000)
    profiles = [PROFILES[name] for name in NAMES]
    with console.status(f"{wanted:,} crops"):
        hashed = hash_crops(crops(photos, wanted, Random(1)), profiles)  # noqa: S311 - the same crops each time
    rows = [row for profile in profiles for row in compare(profile, hashed[profile.name], queries)]
    crops_made = ", ".join(f"{name} {len(one.vectors):,}" for name, one in hashed.items())
    notes = (f"Crops of {len(photos)} photos, those of benchmarks.originals: {crops_made}.", *_NOTES)
    yield Table("chance", "Unrelated pictures expected by chance, and counted", rows, notes)


def _opened(body: bytes) -> Image.Image:
    with Image.open(BytesIO(body)) as image:
        return fit(image.convert("RGB"), _SIDE)


_NOTES: Final = (
    "PHOTOS names the folder where Debian's packages were unpacked; without it those that are installed are taken.",
    "Every fifth crop is there twice, once smaller and of JPEG quality 60. Unrelated are crops of other photos.",
    f"{len(_DRAWS)} samples of {SAMPLE:,} crops each, and 1,000 queries for each sample, none of them in it.",
    "A ratio is of what was expected to what was counted; least and most are those of one sample.",
    "The quarters are those of the queries with the least and the most expected.",
    f"There is no ratio where fewer than {_ENOUGH_PAIRS} pairs were counted.",
)


SECTION: Final = Section("chance", "how near the estimate of chance comes to a count", run)
