"""What `make bench-hash` says; the measuring itself is not for tests."""

import pytest
from rich.console import Console

from benchmarks.hashing import measure, show
from benchmarks.photos import within


def test_both_ways_are_measured_and_compared(capsys: pytest.CaptureFixture[str]) -> None:
    """On each picture, and the table says how many vectors were wrong."""
    found = measure("thumbnails", list(within(60)), pairs=2)
    assert (found.pictures, found.pairs, found.wrong) == ("thumbnails", 2, 0)
    assert found.count >= 10
    assert min(found.reference, found.fast, found.ratio) > 0
    show(Console(width=100), [found])
    assert "thumbnails" in capsys.readouterr().out
