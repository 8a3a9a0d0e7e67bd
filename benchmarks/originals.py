"""The real photos that evaluations are made with: those of the wheels, and of Debian's packages where they are.

    apt-get download gcompris-qt-data mate-backgrounds lomiri-wallpapers-16.04 palapeli-data opencv-doc
    for package in *.deb; do dpkg-deb --extract "$package" photos; done
    python -m benchmarks.originals photos > keys.txt

uploads them to the bucket of the environment, and prints their keys.
"""

import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from contract import PROFILES
from devstack import pictures
from worker.adapters.oss import OssObjectStore
from worker.core.fingerprinting import orientations
from worker.core.verifying import SAME_BITS
from worker.settings import WorkerSettings

# Of each package the folder, below /usr/share, that holds photos beside what is drawn. The pictures of opencv-doc's
# manual are left out: most are its sample photos again, with something drawn on.
FOLDERS: Final = (
    "gcompris-qt/rcc",
    "backgrounds",
    "wallpapers",
    "palapeli",
    "doc/opencv-doc/examples/data",
)
_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})
# How files begin that a Qt resource file holds uncompressed, each after its length in four bytes (big-endian).
_BEGINNINGS: Final = re.compile(rb"\xff\xd8\xff|RIFF....WEBP|\x89PNG\r\n\x1a\n", re.DOTALL)
_LENGTH_BYTES: Final = 4
_LEAST_BYTES: Final = 5000
_LEAST_SIDE: Final = 180
# Drawings have few colours: of a photo within 256 x 256 pixels, at least this share of the pixels has one of its own.
_LEAST_COLOURS: Final = 0.4
_SMALL: Final = (256, 256)


def find(root: Path) -> Mapping[str, bytes]:
    """Find photos, each once, by a name that stays the same.

    Args:
        root: where packages were unpacked. What is not there is left out.
    """
    kept: dict[str, bytes] = {}
    hashes = np.empty((0, 32), dtype=np.uint8)
    for name, body in _candidates(root):
        small = _small(body)
        if small is None:
            continue
        turned = [np.frombuffer(vector, np.uint8) for vector in orientations(small, PROFILES["pdq.upright"]).values()]
        if any((np.bitwise_count(hashes ^ vector).sum(axis=1) <= SAME_BITS).any() for vector in turned):
            continue
        hashes = np.vstack([hashes, turned[0]])
        kept[name] = body
    return kept


def _candidates(root: Path) -> Iterator[tuple[str, bytes]]:
    yield from pictures.photos().items()
    for folder in FOLDERS:
        for file in sorted((root / "usr" / "share" / folder).rglob("*")):
            name = f"{folder}/{file.name}"
            if file.suffix == ".rcc":
                yield from ((f"{name}/{start}", body) for start, body in _unpacked(file.read_bytes()))
            elif file.suffix.lower() in _SUFFIXES and file.is_file():
                yield f"{folder}/{file.relative_to(root / 'usr' / 'share' / folder)}", file.read_bytes()


def _unpacked(resources: bytes) -> Iterator[tuple[int, bytes]]:
    """Pictures in a Qt resource file, and where they start."""
    for match in _BEGINNINGS.finditer(resources, _LENGTH_BYTES):
        start = match.start()
        length = int.from_bytes(resources[start - _LENGTH_BYTES : start], "big")
        if start + length <= len(resources):
            yield start, resources[start : start + length]


def _small(body: bytes) -> bytes | None:
    """The picture within 256 x 256 pixels, as PNG; None if it is no photo."""
    if len(body) < _LEAST_BYTES:
        return None
    try:
        with warnings.catch_warnings(), Image.open(BytesIO(body)) as image:
            warnings.simplefilter("ignore")
            if min(image.size) < _LEAST_SIDE or image.has_transparency_data:
                return None
            image.draft("RGB", _SMALL)
            shown = image.convert("RGB")
    except OSError:
        return None
    shown.thumbnail(_SMALL)
    colours = len(shown.getcolors(maxcolors=_SMALL[0] * _SMALL[1]) or ())
    if colours < _LEAST_COLOURS * shown.width * shown.height:
        return None
    file = BytesIO()
    shown.save(file, "PNG")
    return file.getvalue()


def main() -> None:
    """Upload the photos, and print their keys."""
    store = OssObjectStore.from_settings(WorkerSettings.from_env())
    for name, body in find(Path(sys.argv[1])).items():
        key = f"originals/{name}"
        store.put(key, body)
        sys.stdout.write(f"{key}\n")
    store.close()


if __name__ == "__main__":
    main()
