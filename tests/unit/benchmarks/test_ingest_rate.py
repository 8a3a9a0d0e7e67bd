"""What decides what is measured of whole loads, and what is said of it; the measuring itself is `make bench`."""

import os
import subprocess
import sys
from collections import Counter
from io import BytesIO
from itertools import islice

import pytest
from matplotlib.figure import Figure

from benchmarks import usage
from benchmarks.article import create_vector
from benchmarks.ingest_rate import (
    AGAINST_ARTICLE,
    HASH_SHARE,
    LIMIT_SHARE,
    MEMORY,
    ONE,
    ONE_DECODER,
    SCALING,
    TWO,
    WAYS,
    Loads,
    aims,
    backlog,
    memory,
    order,
    plot,
    processor_time,
    rates,
)
from benchmarks.loads import ARTICLE, HUGE, LARGE, MIDDLE, QUICK_SIZES, SIZES, Passage, Size
from benchmarks.photos import small
from contract import MAX_EVENTS
from worker.core.hashing import create_reference_vector


@pytest.fixture
def loads() -> Loads:
    """Three loads of each way: one of them disturbed."""
    found = Loads(hashing=[0.04, 0.05, 0.9])
    for way, seconds in ((ARTICLE, 16.0), (ONE, 5.0), (ONE_DECODER, 4.0), (TWO, 2.5)):
        for factor in (1, 1, 5):
            cpu = {"ingest": 5.0 * factor, "milvus": 1.0, "producer": 0.5}
            found.passages[way].append(Passage(80, seconds * factor, cpu))
    return found


def test_rates_are_medians(loads: Loads) -> None:
    """And compared to two cores that only hash."""
    two = rates({LARGE: loads}).rows[WAYS.index(TWO)]
    assert (two["images/s"], two["least"], two["most"]) == (32, 6.4, 32)
    assert two["of the limit"] == 32 / (2 / 0.05)


def test_processor_time_is_told_of_every_program(loads: Loads) -> None:
    """A program that is not there has used nothing."""
    two = processor_time({MIDDLE: loads}).rows[WAYS.index(TWO)]
    assert two["ingest"] == pytest.approx(1000 * 5 / 80)
    assert (two["hash"], two["valkey"], two["milvus"]) == (50, 0, 12.5)


def test_aims_stand_beside_what_was_measured(loads: Loads) -> None:
    """Two processes are compared to the article's way, and to one process that decodes one by one."""
    table = aims({LARGE: loads, MIDDLE: loads}, {LARGE: 250.0, MIDDLE: 90.0, HUGE: 500.0})
    found = {(row["what"], row["pictures"]): (row["measured"], row["aim"]) for row in table.rows}
    assert found[HASH_SHARE, LARGE] == (0.8, 0.90)
    assert found[LIMIT_SHARE, MIDDLE] == (32 / (2 / 0.05), 0.60)
    assert found[AGAINST_ARTICLE, LARGE] == (32 / 5, 4.5)
    assert found[SCALING, LARGE] == (32 / 20, 1.6)
    assert found[MEMORY, HUGE] == (500, 600)
    assert len(found) == 9


def test_memory_is_told_of_every_size() -> None:
    """And what the process of the huge picture had before it."""
    table = memory({LARGE: 250.0, HUGE: 500.0}, 80)
    assert [row["peak, MB"] for row in table.rows] == [250, 500]
    assert "80 MB" in table.notes[0]


def test_what_waits_is_told_by_the_event() -> None:
    """What the queue holds, and the ledger, and what claims leave."""
    assert [row["bytes"] for row in backlog(100, 13_600, 10_800, 20_000).rows] == [136, 108, 200]


def test_the_ways_are_drawn(loads: Loads) -> None:
    """A group of bars for each size."""
    figure = plot({"rates": rates({LARGE: loads, MIDDLE: loads})})
    assert isinstance(figure, Figure)
    assert len(figure.axes[0].patches) == 2 * len(WAYS)


def test_the_ways_are_measured_forth_and_back() -> None:
    """So each has the same place on the average, and neighbours are the same from one round to the next."""
    ways = list(order(3))
    assert set(Counter(ways).values()) == {3}
    assert ways[:8] == [*WAYS, *reversed(WAYS)]
    assert list(islice(order(1), 4)) == list(WAYS)


@pytest.mark.parametrize("size", [*SIZES, *QUICK_SIZES], ids=lambda size: f"{size.name}, {size.events}")
def test_loads_can_be_shared_by_two_processes(size: Size) -> None:
    """There are messages enough, none is too large, and each picture of a dozen is in it as often as the others."""
    assert size.batch <= MAX_EVENTS
    assert size.events / size.batch >= 12
    assert size.events % size.keys == 0
    assert size.keys % 12 == 0


def test_the_articles_vector_is_the_reference() -> None:
    """What Lookalike is compared to computes the same."""
    for body in small():
        assert create_vector(BytesIO(body)) == create_reference_vector(body)


def test_processor_time_counts_children() -> None:
    """Those that have ended, and this process."""
    before = usage.cpu_seconds(os.getpid())
    busy = "import time\nwhile time.process_time() < 0.2: pass"
    subprocess.run([sys.executable, "-c", busy], check=True)
    assert usage.cpu_seconds(os.getpid()) - before > 0.1


def test_the_peak_is_of_what_came_after_the_reset() -> None:
    """Memory that was given back before does not count; memory that is given back after does."""
    pid = os.getpid()
    _ = bytearray(b"1") * 200_000_000
    usage.reset_peak(pid)
    low = usage.peak(pid)
    block = bytearray(b"1") * 100_000_000
    del block
    assert usage.peak(pid) - low > 90
    assert usage.resident(pid) < usage.peak(pid)
