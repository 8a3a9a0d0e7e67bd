"""The comparison of hashes on changed copies, and its photos."""

import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.evaluating import Hashed, evaluate, hash_photo, ours
from benchmarks.originals import find
from contract import EVALUATED, PROFILES
from devstack import pictures
from tests.corpus import photos
from worker.core.transforms import TRANSFORMS
from worker.core.variants import hash_variants


@pytest.fixture(scope="module")
def hashed() -> Hashed:
    """A photo and its copies by our own profiles."""
    return hash_photo("coffee.png", photos()["coffee.png"], [ours])


def test_copies_are_those_of_an_evaluation(hashed: Hashed) -> None:
    """So what others do on them can be compared to what `lookalike evaluate` says."""
    body, transforms = photos()["coffee.png"], list(TRANSFORMS.values())
    profiles = [PROFILES[name] for name in EVALUATED]
    found = hash_variants(body, profiles, transforms, seed="0 originals/coffee.png")
    assert hashed.turned == found.turned
    for name in EVALUATED:
        assert hashed.original[f"lookalike {name}"] == found.original[name]
        assert b"".join(copy[f"lookalike {name}"] for copy in hashed.copies) == found.copies[name]


def test_hashes_of_any_length_are_counted() -> None:
    """A hash of 9 bytes that finds all copies, and one of 1 that finds half of them or everything."""
    random = np.random.default_rng(1)
    counted = []
    for number in range(3):
        turned = random.bytes(8 * 32)
        good = {"long": bytes([60 * number]) * 9, "short": bytes([number])}
        bad = {"long": bytes([60 * number]) * 9, "short": bytes([(number + 1) % 3])}
        counted.append(Hashed(good, [good, bad] * (len(TRANSFORMS) // 2) + [good] * (len(TRANSFORMS) % 2), turned))
    long, short = evaluate(counted, 0.01)
    assert (long.name, long.bits, long.recall) == ("long", 72, 1.0)
    assert long.max_distance is not None
    assert (short.bits, short.max_distance, short.recall) == (8, None, 0.0)


def test_photos_are_found_once_and_drawings_are_not(tmp_path: Path) -> None:
    """In a folder of a package and in a Qt resource file, beside those of the wheels."""
    folder = tmp_path / "usr" / "share" / "backgrounds"
    resources = tmp_path / "usr" / "share" / "gcompris-qt" / "rcc"
    folder.mkdir(parents=True)
    resources.mkdir(parents=True)
    drawn = BytesIO()
    Image.effect_mandelbrot((300, 300), (-3, -2.5, 2, 2.5), 20).save(drawn, "PNG")
    (folder / "again.png").write_bytes(photos()["coffee.png"])
    (folder / "drawn.png").write_bytes(drawn.getvalue())
    wheels = find(tmp_path)
    assert wheels.keys() < pictures.photos().keys()
    with Image.open(BytesIO(photos()["coffee.png"])) as image:
        turned = BytesIO()
        image.convert("RGB").rotate(30).crop((100, 80, 500, 320)).save(turned, "JPEG", quality=95)
    body = turned.getvalue()
    (resources / "one.rcc").write_bytes(b"qres" + bytes(12) + struct.pack(">I", len(body)) + body + b"names")
    found = find(tmp_path)
    assert found.keys() - wheels.keys() == {"gcompris-qt/rcc/one.rcc/20"}
    assert found["gcompris-qt/rcc/one.rcc/20"] == body
