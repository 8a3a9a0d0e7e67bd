"""Recall and false matches, counted in numpy as one would count by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from worker.core.evaluation import Counts, best, count_pairs, pairs_needed, unrelated, upper_bound
from worker.core.verifying import SAME_BITS


def distance(one: bytes, other: bytes) -> int:
    """The Hamming distance, bit by bit."""
    return sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True))


@st.composite
def samples(draw: st.DrawFn) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]]:
    """Originals, copies and admitted pairs, of 64 or 256 bits."""
    pictures, transforms, size = draw(st.integers(2, 5)), draw(st.integers(1, 4)), draw(st.sampled_from([8, 32]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    admitted = random.random((pictures, pictures)) < 0.7
    admitted |= admitted.T
    np.fill_diagonal(admitted, val=False)
    return (
        random.integers(0, 256, (pictures, size), dtype=np.uint8),
        random.integers(0, 256, (pictures, transforms, size), dtype=np.uint8),
        admitted,
    )


@given(samples())
def test_counts_are_those_of_two_loops(
    sample: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]],
) -> None:
    """Every pair once, under its distance."""
    originals, copies, admitted = sample
    bits = 8 * originals.shape[1]
    true = [[0] * (bits + 1) for _ in range(copies.shape[1])]
    false = [0] * (bits + 1)
    for mine, made in enumerate(copies):
        for transform, copy in enumerate(made):
            for other, original in enumerate(originals):
                apart = distance(copy.tobytes(), original.tobytes())
                if mine == other:
                    true[transform][apart] += 1
                elif admitted[mine, other]:
                    false[apart] += 1
    counts = count_pairs(originals, copies, admitted)
    assert counts.true.tolist() == true
    assert counts.false.tolist() == false


@given(
    st.lists(st.lists(st.integers(0, 9), min_size=5, max_size=5).filter(any), min_size=1, max_size=4),
    st.lists(st.integers(0, 9), min_size=5, max_size=5).filter(any),
    st.floats(0.001, 0.9),
)
def test_rates_and_the_distance_are_those_of_sums(true: list[list[int]], false: list[int], wanted: float) -> None:
    """Shares within each distance; the mean of the transforms; the largest distance that is good enough."""
    counts = Counts(np.array(true), np.array(false))
    recalls = [[sum(row[: upto + 1]) / sum(row) for upto in range(5)] for row in true]
    rates = [sum(false[: upto + 1]) / sum(false) for upto in range(5)]
    assert counts.recalls.tolist() == pytest.approx(np.array(recalls))
    assert counts.recall.tolist() == pytest.approx([sum(column) / len(true) for column in zip(*recalls, strict=True)])
    assert counts.false_match_rates.tolist() == pytest.approx(rates)
    good = [upto for upto in range(5) if rates[upto] <= wanted]
    assert counts.largest_distance(wanted) == (max(good) if good else None)


def test_copies_among_the_originals_are_known_in_any_orientation() -> None:
    """Within 31 bits of any of the eight, seen from either side; further away not."""
    random = np.random.default_rng(1)
    turned = random.integers(0, 256, (4, 8, 32), dtype=np.uint8)
    turned[1, 0] = turned[0, 5]  # picture 1 is picture 0, turned
    turned[1, 0, :3] ^= 255  # 24 bits away
    turned[2, 0] = turned[0, 0]
    turned[2, 0, :4] ^= 255  # 32 bits away
    assert SAME_BITS == 31
    assert np.argwhere(~unrelated(turned)).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [2, 2], [3, 3]]


def test_none_seen_is_not_none() -> None:
    """The rule of three; and of what was seen, the bound lies above it."""
    assert upper_bound(0, 1000) == pytest.approx(0.003)
    assert upper_bound(0, 2) == 1
    assert 0.01 < upper_bound(0.01, 1000) < 0.02
    assert upper_bound(0.01, 100_000) < 0.0106
    assert pairs_needed(1e-4) == 100_000


def test_the_best_is_the_first_of_the_best() -> None:
    """And nobody's where nothing is found."""
    assert best([0.2, 0.5, 0.5]) == 1
    assert best([0.0, 0.0]) is None
