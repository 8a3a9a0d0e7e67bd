"""How well hashes tell copies from other pictures: recall, false matches, and the distance to search within."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.core.verifying import SAME_BITS

# A rate is not known from fewer events than some ten: their count then errs by a third (Poisson).
_EVENTS: Final = 10
_ONE_SIDED_95: Final = 1.6449  # quantile of the normal distribution
# Hanley and Lippman-Hand, "If nothing goes wrong, is everything all right?" (JAMA 1983): the rule of three.
_NONE_SEEN_95: Final = 3.0


@dataclass(frozen=True, slots=True)
class Counts:
    """Pairs of pictures by their Hamming distance, for one profile.

    Attributes:
        true: of copies and their originals, of shape (transforms, bits + 1).
        false: of copies and other originals, of shape (bits + 1,).
    """

    true: NDArray[np.int64]
    false: NDArray[np.int64]

    @property
    def recalls(self) -> NDArray[np.float64]:
        """The share of each transform's copies that is found within each distance, of the shape of `true`."""
        return np.asarray(np.cumsum(self.true, axis=1) / self.true.sum(axis=1, keepdims=True))

    @property
    def recall(self) -> NDArray[np.float64]:
        """The mean of the transforms' recalls within each distance."""
        return np.asarray(self.recalls.mean(axis=0))

    @property
    def false_match_rates(self) -> NDArray[np.float64]:
        """The share of the pairs of unrelated pictures that is within each distance."""
        return np.asarray(np.cumsum(self.false) / self.false.sum())

    def largest_distance(self, false_match_rate: float) -> int | None:
        """The largest distance within which no more than a share of the unrelated pairs are; None where none is."""
        within = int((self.false_match_rates <= false_match_rate).sum())
        return within - 1 if within else None


def unrelated(turned: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell which pictures are not one another's copies, by a hash of 256 bits in all eight orientations.

    Args:
        turned: of shape (pictures, 8, 32): each one's vectors, as it is first.

    Returns:
        Of shape (pictures, pictures), symmetric. No picture is unrelated to itself.
    """
    words = _words(turned)
    related = np.zeros((len(words), len(words)), dtype=np.bool_)
    for number, one in enumerate(words):
        related[number] = (_distances(one[:, None], words[None, :, 0]) <= SAME_BITS).any(axis=0)
    return ~(related | related.T | np.eye(len(words), dtype=np.bool_))


def count_pairs(originals: NDArray[np.uint8], copies: NDArray[np.uint8], admitted: NDArray[np.bool_]) -> Counts:
    """Count the pairs of copies and originals by their distance.

    Args:
        originals: vectors of one profile, of shape (pictures, bytes); bytes are a multiple of 8.
        copies: of shape (pictures, transforms, bytes).
        admitted: of shape (pictures, pictures): of which other originals a picture's copies may be counted as false
            matches.
    """
    bits = originals.shape[1] * 8
    of_originals, of_copies = _words(originals), _words(copies)
    transforms = np.arange(copies.shape[1])
    true = np.zeros((len(transforms), bits + 1), dtype=np.int64)
    false = np.zeros(bits + 1, dtype=np.int64)
    for number, made in enumerate(of_copies):
        distances = _distances(made[:, None], of_originals[None])
        true[transforms, distances[:, number]] += 1
        false += np.bincount(distances[:, admitted[number]].ravel(), minlength=bits + 1)
    return Counts(true, false)


def pairs_needed(false_match_rate: float) -> int:
    """How many pairs of unrelated pictures it takes to measure a false-match rate to about a third."""
    return round(_EVENTS / false_match_rate)


def upper_bound(rate: float, pairs: int) -> float:
    """What a rate may really be, with 95 % confidence: Wilson's bound (1927), or 3/n if that is more.

    Args:
        rate: as it was measured, 0 to 1.
        pairs: the number of independent pairs it was measured on. Copies of one picture are not independent.
    """
    squared = _ONE_SIDED_95**2
    middle = rate + squared / (2 * pairs)
    spread = _ONE_SIDED_95 * sqrt(rate * (1 - rate) / pairs + squared / (4 * pairs**2))
    return min(1.0, max(_NONE_SEEN_95 / pairs, (middle + spread) / (1 + squared / pairs)))


def best(recalls: Sequence[float]) -> int | None:
    """Which profile finds most: the first of the largest; None where all find nothing."""
    return int(np.argmax(recalls)) if any(recalls) else None


def _words(vectors: NDArray[np.uint8]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(vectors).view(np.uint64)


def _distances(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.int64]:
    return np.asarray(np.bitwise_count(one ^ other).sum(axis=-1, dtype=np.int64))
