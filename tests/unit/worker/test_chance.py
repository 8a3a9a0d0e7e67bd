"""The estimate of chance, on vectors whose chance is known."""

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from contract import PROFILES, Profile
from worker.core.chance import Estimate

AHASH = PROFILES["ahash"]
PDQ = PROFILES["pdq"]
COUNT = 3000
VECTORS = st.binary(min_size=8, max_size=8)


def even(count: int, profile: Profile = AHASH, seed: int = 1) -> NDArray[np.uint8]:
    """Vectors whose bits are tossed."""
    return np.random.default_rng(seed).integers(0, 256, (count, profile.bytes), dtype=np.uint8)


def rows(count: int, ones: float, seed: int) -> NDArray[np.uint8]:
    """Vectors whose bits are the same along each row of the picture, ones of that probability."""
    tossed = np.random.default_rng(seed).random((count, 8)) < ones
    return np.where(tossed, 255, 0).astype(np.uint8)


def even_share(bits: int, distance: int) -> float:
    """The exact probability that so many tossed bits or fewer differ."""
    return float(sum(comb(bits, ones) for ones in range(distance + 1)) / 2**bits)


@pytest.mark.parametrize("profile", [AHASH, PDQ], ids=lambda profile: profile.name)
def test_independent_bits(profile: Profile) -> None:
    """Of independent bits, what is expected is binomial."""
    estimate = Estimate.of(profile, even(COUNT, profile).tobytes(), 1_000_000)
    distances = [round(profile.bits * share) for share in (0.4, 0.45, 0.5)]
    exact = [1_000_000 * even_share(profile.bits, distance) for distance in distances]
    assert estimate.chances(even(1, profile, seed=2).tobytes(), distances) == pytest.approx(exact, rel=0.2)


def test_biased_bits() -> None:
    """Where few pictures are possible, many are alike by chance: two of eight such rows are equal once in 256."""
    estimate = Estimate.of(AHASH, rows(COUNT, 0.5, 1).tobytes(), 10_000)
    (chance,) = estimate.chances(bytes([255, 0, 0, 255, 255, 0, 255, 0]), [0])
    assert chance == pytest.approx(10_000 / 256, rel=0.5)


def test_some_pictures_have_more_chance_neighbours() -> None:
    """A query among many of its kind has a higher chance than one apart from them, whatever the average is."""
    plain = even(COUNT // 2)
    plain[:, 1:] = 0
    both = np.concatenate([plain, even(COUNT // 2, seed=2)])
    estimate = Estimate.of(AHASH, both.tobytes(), 100_000)
    (common,) = estimate.chances(bytes([0b10110100, *[0] * 7]), [4])
    (rare,) = estimate.chances(even(1, seed=3).tobytes(), [4])
    assert common > 10_000
    assert rare < 100


def test_planted_copies_are_not_counted() -> None:
    """A picture with hundreds of copies in the sample is not taken for one that has chance neighbours."""
    query = even(1, seed=4)
    near = np.repeat(query, 300, axis=0)
    near[:, 0] ^= np.uint8(1) << np.arange(300, dtype=np.uint8) % 8
    sample = np.concatenate([even(COUNT), near])
    (chance,) = Estimate.of(AHASH, sample.tobytes(), len(sample)).chances(query.tobytes(), [4])
    assert chance < 0.01


@given(
    st.binary(min_size=8, max_size=8), st.lists(st.binary(min_size=8, max_size=8), max_size=40), st.integers(0, 9**9)
)
def test_rises_with_distance(vector: bytes, sample: list[bytes], total: int) -> None:
    """What is expected never falls with the distance, and neither is nothing nor more than all."""
    chances = Estimate.of(AHASH, b"".join(sample), total).chances(vector, range(65))
    assert chances == sorted(chances)
    assert (chances[0] > 0) == (total > 0)
    assert chances[-1] <= total


@given(VECTORS, st.floats(0, 1e6))
def test_largest_distance(vector: bytes, max_chance: float) -> None:
    """The largest distance is the last whose chance is no larger."""
    estimate = Estimate.of(AHASH, even(200).tobytes(), 5_000)
    chances = estimate.chances(vector, range(65))
    allowed = [distance for distance, chance in enumerate(chances) if chance <= max_chance]
    assert estimate.max_distance(vector, max_chance) == (allowed[-1] if allowed else None)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_tiny_samples(count: int) -> None:
    """Of next to no pictures something is said all the same, and never that it is impossible."""
    estimate = Estimate.of(AHASH, even(count).tobytes(), 1000)
    chances = estimate.chances(even(1, seed=5).tobytes(), range(65))
    assert all(0 < chance <= 1000 for chance in chances)


def test_a_query_meets_a_sample_of_one() -> None:
    """The one vector of a sample counts for a query: only a sample's own mirror does not count for itself."""
    mirror = bytes([0b11110000] * 8)
    query = bytes([0b00001111] * 8)
    alone = Estimate.of(AHASH, mirror, 1)
    apart = Estimate.of(AHASH, bytes([0b11001100] * 8), 1)
    assert alone.chances(query, [8]) > apart.chances(query, [8])


def test_flat_pictures_meet_flat_pictures() -> None:
    """Difference hashes of flat pictures have few ones, and so do their decoys."""
    dhash = PROFILES["dhash"]
    tossed = np.random.default_rng(6).random((COUNT, 64)) < 0.1
    flat = np.packbits(tossed, axis=1)
    (chance,) = Estimate.of(dhash, flat.tobytes(), COUNT).chances(flat[0].tobytes(), [10])
    counted = ((tossed != tossed[0]).sum(axis=1) <= 10).sum()
    assert chance == pytest.approx(counted, rel=0.5)
