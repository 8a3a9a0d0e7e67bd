"""What is said of the approximate profile."""

import pytest

from benchmarks.agreement import Tried, compare, row
from tests.corpus import photos


def test_shares_are_of_the_pictures_and_ratios_are_medians() -> None:
    """Three bits and more are one class."""
    tried = [
        Tried(bits, {"reference": reference, "exact": 0.5, "draft": 0.25})
        for bits, reference in [(0, 1.0), (0, 1.0), (1, 1.0), (5, 100.0)]
    ]
    found = row("some", tried)
    assert (found["0 bits, %"], found["1 bit, %"], found["2 bits, %"], found["3 and more, %"]) == (50, 25, 0, 25)
    assert (found["pictures"], found["most bits"]) == (4, 5)
    assert found["times the reference"] == pytest.approx(4)
    assert found["times the exact"] == pytest.approx(2)


def test_a_picture_is_hashed_each_way() -> None:
    """A PNG has no draft: nothing differs."""
    tried = compare(photos()["astronaut.png"])
    assert tried.bits == 0
    assert set(tried.seconds) == {"reference", "exact", "draft"}
