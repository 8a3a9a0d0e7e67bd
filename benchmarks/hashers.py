"""The ways to hash a JPEG that are compared: ours, those of other libraries, and the limit."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Final

import imagehash
import numpy as np
import simplejpeg
from PIL import Image

from worker.core import fasthash
from worker.core.hashing import create_reference_vector, create_vector, fast_path_fault

REFERENCE: Final = "reference"


@dataclass(frozen=True, slots=True)
class Hasher:
    """A way to hash.

    Attributes:
        name: for tables.
        about: what it is, for the notes.
        hash: reads a file and gives 8 bytes, the first bit the most significant; None if it only decodes.
    """

    name: str
    about: str
    hash: Callable[[Path], bytes | None]


@dataclass(frozen=True, slots=True)
class Missing:
    """A way to hash that is not to be had here.

    Attributes:
        name: for tables.
        why: what is missing.
    """

    name: str
    why: str


def hashers() -> Iterator[Hasher | Missing]:
    """All of them, the reference first."""
    yield Hasher(REFERENCE, "create_reference_vector: Pillow and imagehash alone", _reference)
    if fault := fast_path_fault():
        yield Missing("fast", f"there is no fast way: {fault}")
    else:
        yield Hasher("fast", "create_vector, which workers run", _fast)
    yield Hasher("imagehash", "imagehash.average_hash(Image.open(file)), as the article does it", _article)
    for name, about, make in (
        (
            "perception",
            "perception's AverageHash, which decodes and resizes with OpenCV, and weighs red as blue",
            _perception,
        ),
        ("imagededup", "imagededup's AHash, which resizes before it turns grey", _imagededup),
    ):
        try:
            yield Hasher(name, about, make())
        except ImportError as error:
            yield Missing(name, f"not installed (make bench installs it): {error}")
    yield Hasher("decode only", "libjpeg-turbo to RGB in memory that is used again: the floor, no hash", _decoder())


def _reference(file: Path) -> bytes:
    return create_reference_vector(file.read_bytes())


def _fast(file: Path) -> bytes:
    return create_vector(file.read_bytes())


def _article(file: Path) -> bytes:
    with Image.open(file) as image:
        return np.packbits(imagehash.average_hash(image).hash).tobytes()


def _perception() -> Callable[[Path], bytes]:
    hasher = import_module("perception.hashers").AverageHash()
    return lambda file: np.packbits(hasher.compute(str(file), hash_format="vector")).tobytes()


def _imagededup() -> Callable[[Path], bytes]:
    # What these packages import beside the hashes are neural networks, which need torch.
    for package in ("imagededup.methods", "imagededup.utils"):
        enter(package)
    hasher = import_module("imagededup.methods.hashing").AHash(verbose=False)
    return lambda file: bytes.fromhex(hasher.encode_image(image_file=str(file)))


def enter(package: str) -> None:
    """Make the modules of a package importable, without running its `__init__`."""
    parent, _, name = package.partition(".")
    found = find_spec(parent)
    if found is None or found.submodule_search_locations is None:
        raise ModuleNotFoundError(f"No module named {parent!r}", name=parent)
    module = ModuleType(package)
    module.__path__ = [str(Path(folder) / name) for folder in found.submodule_search_locations]
    sys.modules.setdefault(package, module)


def _decoder() -> Callable[[Path], None]:
    room = bytearray()

    def decode(file: Path) -> None:
        nonlocal room
        body = file.read_bytes()
        frame = fasthash.plain_frame(body)
        if frame is None:
            raise ValueError(f"{file} is no plain JPEG")
        needed = frame.width * frame.height * 3
        if len(room) < needed:
            room = bytearray(needed)
        simplejpeg.decode_jpeg(body, "RGB", buffer=room)

    return decode
