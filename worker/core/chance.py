"""How many unrelated pictures lie by chance as near to a query as a match does.

A mirror image has the statistics of the picture, but not its copies: what lies near it does so by chance. That is the
target-decoy method (Elias and Gygi, "Target-decoy search strategy for increased confidence in large-scale protein
identifications by mass spectrometry", Nature Methods, 2007). Mirrors of the pictures of a sample are counted against
that sample, which tells how often a distance comes about by chance in this tenant; the mirror of the query is counted
too, for some pictures have more chance neighbours than others. The two are joined by empirical Bayes: rates among
pictures are taken for Gamma distributed and counts for Poisson (Robbins, 1956).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import comb
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from contract import Profile
from worker.core.fingerprinting import mirrored

Floats = NDArray[np.floating[Any]]
Words = NDArray[np.uint64]

_DHASH: Final = "dhash"

# So many pairs make a share that is known to a third. Below, it is extrapolated from the distances above, as far as it
# takes to see the share grow by this factor.
_ENOUGH_PAIRS: Final = 10
_SLOPE_FACTOR: Final = 4
# Pairs that are compared at once: 8 MB of words.
_BLOCK_PAIRS: Final = 1 << 20
_LEAST_SHAPE: Final = 0.02
_LARGEST_SHAPE: Final = 1e6


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is known of chance in one tenant.

    Attributes:
        profile: of the vectors.
        total: pictures that a search looks at.
        sample: vectors of some of them, as words, of shape (n, words).
        shares: of shape (bits + 1,): of two unrelated pictures, the probability that so many bits or fewer differ.
        shapes: of shape (bits + 1,): of the Gamma distribution of that probability among pictures. The smaller, the
            more they differ.
    """

    profile: Profile
    total: int
    sample: Words
    shares: Floats
    shapes: Floats

    @classmethod
    def of(cls, profile: Profile, vectors: bytes, total: int) -> Self:
        """Make an estimate of a sample of packed vectors, for a tenant of so many pictures."""
        packed = np.frombuffer(vectors, np.uint8).reshape(-1, profile.bytes)
        sample = _words(packed)
        mirrors = _words(_decoys(packed, profile))
        counts = _count_within(mirrors, sample, profile.bits) - _own_within(mirrors, sample, profile.bits)
        return cls(profile, total, sample, _shares(counts, profile.bits), _shapes(counts))

    def chances(self, vector: bytes, distances: Sequence[int]) -> list[float]:
        """Say how many unrelated pictures are expected at each distance or nearer."""
        rates = self._rates(vector)
        return [float(self.total * rates[distance]) for distance in distances]

    def max_distance(self, vector: bytes, max_chance: float) -> int | None:
        """The largest distance at which no more than so many are expected; None where there are more even at 0."""
        within = np.flatnonzero(self.total * self._rates(vector) <= max_chance)
        return int(within[-1]) if within.size else None

    def typical_distance(self, max_chance: float) -> int | None:
        """As `max_distance`, for a picture of the tenant's of which nothing is known: by the shares alone."""
        within = np.flatnonzero(self.total * self.shares <= max_chance)
        return int(within[-1]) if within.size else None

    def _rates(self, vector: bytes) -> Floats:
        """The probability that an unrelated picture differs in so many bits or fewer: of shape (bits + 1,)."""
        packed = np.frombuffer(vector, np.uint8)[None]
        others = self.sample[(self.sample != _words(packed)).any(axis=1)]
        (counts,) = _count_within(_words(_decoys(packed, self.profile)), others, self.profile.bits)
        rates = (self.shapes + counts) / (self.shapes / self.shares + len(others))
        rising: Floats = np.minimum(np.maximum.accumulate(rates), 1.0)
        return rising


def _decoys(packed: NDArray[np.uint8], profile: Profile) -> NDArray[np.uint8]:
    """The vectors of the mirrored pictures: left-right, but of difference hashes top-bottom.

    A difference hash has a 0 both where a picture gets darker to the right and where it is flat. Left-right, the bits
    do not tell which of them become ones; top-bottom, rows of bits change places, and that is exact.
    """
    return packed[:, ::-1] if profile.algorithm == _DHASH else mirrored(packed, profile)


def _words(packed: NDArray[np.uint8]) -> Words:
    return np.ascontiguousarray(packed).view(np.uint64)


def _count_within(queries: Words, sample: Words, bits: int) -> NDArray[np.int64]:
    """Count, for each query, the vectors of the sample within each distance: int64 of shape (queries, bits + 1)."""
    counts = np.zeros((len(queries), bits + 1), dtype=np.int64)
    rows = max(1, _BLOCK_PAIRS // max(1, len(sample)))
    for start in range(0, len(queries), rows):
        block = queries[start : start + rows]
        distances = np.zeros((len(block), len(sample)), dtype=np.int64)
        for word in range(sample.shape[1]):
            distances += np.bitwise_count(block[:, word, None] ^ sample[None, :, word])
        distances += np.arange(len(block))[:, None] * (bits + 1)
        found = np.bincount(distances.ravel(), minlength=len(block) * (bits + 1))
        counts[start : start + rows] = found.reshape(len(block), bits + 1)
    within: NDArray[np.int64] = counts.cumsum(axis=1)
    return within


def _own_within(queries: Words, sample: Words, bits: int) -> NDArray[np.bool_]:
    """Whether the vector of its own number is within each distance of a query: of shape (n, bits + 1)."""
    apart = np.bitwise_count(queries ^ sample).sum(axis=1, dtype=np.int64)
    own: NDArray[np.bool_] = apart[:, None] <= np.arange(bits + 1)
    return own


def _shares(counts: NDArray[np.int64], bits: int) -> Floats:
    """The share of pairs within each distance, extrapolated to where there are too few; never that of nothing."""
    pairs = counts.sum(axis=0)
    shares = np.where(pairs > 0, pairs, 1) / max(1, len(counts) * (len(counts) - 1))
    known = np.flatnonzero(pairs >= _ENOUGH_PAIRS)
    if not known.size:
        return _of_even_bits(bits)
    first = int(known[0])
    grown = np.flatnonzero(pairs >= _SLOPE_FACTOR * pairs[first])
    above = int(grown[0]) if grown.size else bits
    slope = float(np.log(shares[above] / shares[first])) / max(1, above - first)
    shares[:first] = shares[first] * np.exp(-slope * (first - np.arange(first)))
    return np.maximum(np.minimum(shares, 1.0), _of_even_bits(bits))


def _of_even_bits(bits: int) -> Floats:
    """The shares of vectors whose bits are as good as tossed: nothing is less probable."""
    ways = accumulate(comb(bits, distance) for distance in range(bits + 1))
    return np.array([way / 2**bits for way in ways])


def _shapes(counts: NDArray[np.int64]) -> Floats:
    """By the method of moments: of a Gamma-Poisson mixture the variance is mean + mean^2 / shape."""
    if len(counts) <= 1:
        return np.full(counts.shape[1], _LARGEST_SHAPE)
    mean, variance = counts.mean(axis=0), counts.var(axis=0)
    excess = np.maximum(variance - mean, 1e-12)
    shapes: Floats = np.clip(mean**2 / excess, _LEAST_SHAPE, _LARGEST_SHAPE)
    return shapes
