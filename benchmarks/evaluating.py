"""Recall at a false-match rate: our profiles and the hashes of other libraries, on the same changed copies.

    python -m benchmarks.evaluating photos --json results.json

takes the photos that `benchmarks.originals` finds, makes the copies that `lookalike evaluate` makes, and counts as it
does. A library reads each file by itself, as its users have it do.
"""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.hashers import enter
from benchmarks.originals import find
from contract import DEFAULT_FALSE_MATCH_RATE, EVALUATED, PROFILES
from worker.core.evaluation import count_pairs, unrelated
from worker.core.fingerprinting import fingerprint, orientations
from worker.core.pictures import open_picture
from worker.core.transforms import TRANSFORMS
from worker.core.variants import COMPARED, make_copies

_IMAGEDEDUP: Final = ("AHash", "DHash", "PHash", "WHash")
_PERCEPTION: Final = ("AverageHash", "DHash", "PHash", "BlockMean")
_WORD_BITS: Final = 64

Hasher = Callable[[Path], Mapping[str, bytes]]


@dataclass(frozen=True, slots=True)
class Hashed:
    """The hashes of a photo by all hashers, and of its copies, in the order of the transforms."""

    original: Mapping[str, bytes]
    copies: Sequence[Mapping[str, bytes]]
    turned: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """What a hasher found.

    Attributes:
        name: library and hash.
        bits: the length of its hash.
        max_distance: the largest distance with no more than the wanted share of false matches; None: there is none.
        recall: the share of copies within it.
        recalls: the same for each transform.
    """

    name: str
    bits: int
    max_distance: int | None
    recall: float
    recalls: Mapping[str, float]


def ours(file: Path) -> Mapping[str, bytes]:
    """The vectors of all our profiles."""
    body = file.read_bytes()
    with open_picture(body) as image:
        hashes = fingerprint(image, [PROFILES[name] for name in EVALUATED], body).hashes
    return {f"lookalike {hashed.profile}": hashed.vector for hashed in hashes}


def theirs(file: Path) -> Mapping[str, bytes]:
    """The hashes of imagededup and perception."""
    # What these packages import beside the hashes are neural networks, which need torch.
    for package in ("imagededup.methods", "imagededup.utils"):
        enter(package)
    imagededup = import_module("imagededup.methods.hashing")
    perception = import_module("perception.hashers")
    found = {
        f"imagededup {name}": bytes.fromhex(getattr(imagededup, name)(verbose=False).encode_image(image_file=str(file)))
        for name in _IMAGEDEDUP
    }
    for name in _PERCEPTION:
        bits = getattr(perception, name)().compute(str(file), hash_format="vector")
        found[f"perception {name}"] = np.packbits(np.asarray(bits, dtype=bool)).tobytes()
    return found


def hash_photo(key: str, body: bytes, hashers: Sequence[Hasher]) -> Hashed:
    """Hash a photo and its copies."""
    turned = orientations(body, COMPARED)
    with TemporaryDirectory() as folder, Image.open(BytesIO(body)) as image:
        file = Path(folder) / "picture"

        def hashes(content: bytes) -> Mapping[str, bytes]:
            file.write_bytes(content)
            return {name: vector for hasher in hashers for name, vector in hasher(file).items()}

        copies = [hashes(copy) for copy in make_copies(image, list(TRANSFORMS.values()), seed=f"0 originals/{key}")]
        return Hashed(hashes(body), copies, b"".join(turned.values()))


def evaluate(photos: Sequence[Hashed], false_match_rate: float) -> Iterator[Result]:
    """Count for each hasher."""
    admitted = unrelated(_array([photo.turned for photo in photos]).reshape(len(photos), 8, -1))
    for name, vector in photos[0].original.items():
        originals = _words([photo.original[name] for photo in photos])
        copies = _words([copy[name] for photo in photos for copy in photo.copies])
        counts = count_pairs(originals, copies.reshape(len(photos), len(TRANSFORMS), -1), admitted)
        distance = counts.largest_distance(false_match_rate)
        recalls = np.zeros(len(TRANSFORMS)) if distance is None else counts.recalls[:, distance]
        named = dict(zip(TRANSFORMS, map(float, recalls), strict=True))
        yield Result(name, 8 * len(vector), distance, float(recalls.mean()), named)


def _array(vectors: Sequence[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(vectors), dtype=np.uint8).reshape(len(vectors), -1)


def _words(vectors: Sequence[bytes]) -> NDArray[np.uint8]:
    """One row for each vector, filled with zeros to whole words, which changes no distance."""
    array = _array(vectors)
    return np.pad(array, ((0, 0), (0, -array.shape[1] % (_WORD_BITS // 8))))


def main() -> None:
    """Measure, and write a table."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, help="where packages were unpacked")
    parser.add_argument("--false-match-rate", type=float, default=DEFAULT_FALSE_MATCH_RATE)
    parser.add_argument("--json", type=Path, help="write the recall of each transform, too")
    parser.add_argument("--ours", action="store_true", help="our own profiles, too")
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args()
    photos = find(asked.photos)
    hashers = (ours, theirs) if asked.ours else (theirs,)
    with ProcessPoolExecutor(asked.processes) as pool:
        hashed = list(pool.map(partial(hash_photo, hashers=hashers), photos.keys(), photos.values()))
    results = sorted(evaluate(hashed, asked.false_match_rate), key=lambda result: -result.recall)
    sys.stdout.write(f"{len(hashed)} photos, {len(TRANSFORMS)} copies of each\n\n")
    sys.stdout.write("| hash | bits | max distance | recall |\n|---|---:|---:|---:|\n")
    for result in results:
        sys.stdout.write(f"| {result.name} | {result.bits} | {result.max_distance} | {result.recall:.1%} |\n")
    if asked.json:
        table = [
            {
                "name": result.name,
                "bits": result.bits,
                "max_distance": result.max_distance,
                "recall": round(result.recall, 4),
                "recalls": {name: round(recall, 4) for name, recall in result.recalls.items()},
            }
            for result in results
        ]
        written = {"photos": len(hashed), "false_match_rate": asked.false_match_rate, "hashes": table}
        asked.json.write_text(f"{json.dumps(written, indent=1)}\n")


if __name__ == "__main__":
    main()
