"""The benchmark of chance: what it makes, and what it compares."""

from random import Random

import numpy as np
import pytest
from PIL import Image

from benchmarks.chance import Hashed, compare, crops
from contract import PROFILES


def test_crops_are_parts_of_the_photo_that_they_name() -> None:
    """A crop has its photo's colours, and copies are made among them."""
    photos = [Image.new("RGB", (90, 60), colour) for colour in ("red", "blue")]
    made = list(crops(photos, 100, Random(1)))
    assert len(made) > 100
    for number, crop in made:
        red, _, blue = crop.resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
        assert (red > blue) == (number == 0)


def test_planted_copies_are_neither_counted_nor_expected() -> None:
    """Of tossed bits, each there three times, as many are expected as there are of others."""
    tossed = np.random.default_rng(1).integers(0, 256, (1500, 8), dtype=np.uint8)
    hashed = Hashed(np.repeat(tossed, 3, axis=0), np.repeat(np.arange(1500), 3))
    rows = {row["distance"]: row for row in compare(PROFILES["ahash"], hashed, 200)}
    assert rows[0]["pairs"] == 0
    assert rows[0]["ratio"] is None
    assert float(rows[0]["expected"] or 0) < 0.01
    assert rows[16]["ratio"] == pytest.approx(1, abs=0.5)
