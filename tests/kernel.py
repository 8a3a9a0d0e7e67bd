"""The C of hashing against Pillow, on pixels: `make sanitize-hash` runs it with sanitizers built in."""

import argparse
import ctypes
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

Pixels = NDArray[np.uint8]


def sizes(random: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Widths and heights: all small ones, the border between the two orders of the axes, the extremes, any."""
    yield from ((width, height) for width in range(1, 42) for height in range(1, 42))
    yield from ((int(width), 2 * int(width) - 8 + more) for width in random.integers(9, 400, 40) for more in (0, 1))
    yield from ((65535, 1), (1, 65535), (65535, 9), (9, 65535), (20000, 40), (40, 20000), (1000, 8), (8, 1000))
    yield from ((int(width), int(height)) for width, height in random.integers(1, 2500, (25, 2)))


def pictures(random: np.random.Generator, width: int, height: int) -> Iterator[Pixels]:
    """Of one size: noise and black and white, which weighs most, in grey and in colour."""
    for channels in (1, 3):
        noise = random.integers(0, 256, (height, width, channels), dtype=np.uint8)
        yield noise
        yield np.where(noise > 127, 255, 0).astype(np.uint8)


def agrees(kernel: ModuleType, pixels: Pixels) -> bool:
    """Whether the kernel shrinks as Pillow does, with the loops for this processor and those for any."""
    height, width, channels = pixels.shape
    image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
    expected = image.convert("L").resize((8, 8), Image.Resampling.LANCZOS).tobytes()
    # Memory of just that size, so that a sanitizer sees what is read beyond.
    room = (ctypes.c_ubyte * pixels.size).from_buffer_copy(pixels.tobytes())
    axes = kernel.axis(width), kernel.axis(height)
    return all(kernel.thumbnail(room, channels, *axes, anywhere) == expected for anywhere in (False, True))


def load(file: Path) -> ModuleType:
    """Load a kernel that was built elsewhere."""
    spec = importlib.util.spec_from_file_location("_fasthash", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no extension module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Compare, and fail on any difference."""
    parser = argparse.ArgumentParser(prog="python -m tests.kernel", description=__doc__)
    parser.add_argument("file", type=Path, help="the extension module")
    given = parser.parse_args()
    kernel = load(given.file)
    random = np.random.default_rng(1)
    found = [agrees(kernel, pixels) for size in sizes(random) for pixels in pictures(random, *size)]
    Console().print(f"{given.file}: {len(found)} pictures, {found.count(False)} different")
    parser.exit(not all(found))


if __name__ == "__main__":
    main()
