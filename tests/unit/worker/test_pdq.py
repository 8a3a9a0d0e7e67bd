"""PDQ, against hashes that Facebook's own code made."""

import json
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contract import PROFILES
from tests.corpus import photos
from worker.core import pdq
from worker.core.canaries import canary_digests

# Made by pdqhash 0.2.8 of the photos of tests/corpus.py in RGB, `thumbnail((1000, 1000))`, and of some resized ones.
GOLDEN = json.loads((Path(__file__).parent / "data" / "pdq.json").read_text())


def photo(name: str) -> Image.Image:
    """The picture of a golden hash."""
    name, _, size = name.partition(" ")
    with Image.open(BytesIO(photos()[name])) as opened:
        image = opened.convert("RGB")
    if size:
        width, height = map(int, size.split("x"))
        return image.resize((width, height))
    image.thumbnail((1000, 1000))
    return image


@pytest.mark.parametrize("name", GOLDEN)
def test_it_is_the_references(name: str) -> None:
    """Every bit, and the quality."""
    coefficients, quality = pdq.transform(photo(name))
    assert pdq.pack(coefficients).hex() == GOLDEN[name]["hash"]
    assert quality == GOLDEN[name]["quality"]


def test_large_pictures_are_reduced_first() -> None:
    """Each side by a whole factor, which moves few bits; a side too short to hash after that is kept."""
    small = photo("chelsea.png")
    large = small.resize((small.width * 4, small.height * 4), Image.Resampling.BICUBIC)
    bits = [np.unpackbits(np.frombuffer(pdq.pack(pdq.transform(one)[0]), np.uint8)) for one in (small, large)]
    assert (bits[0] != bits[1]).sum() <= 10
    _, quality = pdq.transform(small.resize((8000, 60)))
    assert quality > 0


@pytest.mark.parametrize("size", [(640, 427), (427, 640), (97, 101), (64, 300)])
def test_orientations_are_hashes_of_the_turned_picture(size: tuple[int, int]) -> None:
    """To the bit, for every turn, whatever the sampling does."""
    image = photo("chelsea.png").resize(size)
    found = pdq.orientations(image)
    assert next(iter(found)) is None
    for way, vector in found.items():
        turned = image if way is None else image.transpose(way)
        assert vector == pdq.pack(pdq.transform(turned)[0]), way
    assert len(set(found.values())) == 8


@pytest.mark.parametrize("processor", ["Prescott", "Sandybridge"])
def test_it_is_the_same_on_every_processor(processor: str) -> None:
    """To the bit, where coefficients are equal but for rounding too: else workers would refuse one another's rows.

    OpenBLAS is told to compute as it does on other processors than this one.
    """
    asked = "from contract import PROFILES; from worker.core.canaries import canary_digests; import json; "
    asked += "print(json.dumps(dict(canary_digests(PROFILES['pdq']))))"
    told = subprocess.run(
        [sys.executable, "-c", asked],
        env={**os.environ, "OPENBLAS_CORETYPE": processor},
        capture_output=True,
        check=True,
        text=True,
    )
    assert json.loads(told.stdout) == canary_digests(PROFILES["pdq"])
