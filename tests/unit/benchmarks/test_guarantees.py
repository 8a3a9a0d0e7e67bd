"""What decides what is measured, and what is said of it; the measuring itself is `make bench-guarantees`."""

import json
from dataclasses import asdict
from itertools import cycle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.comparison import Comparison, interleave
from benchmarks.cost import Cost
from benchmarks.guarantees import RESULTS, enqueuing, ingesting, parse
from benchmarks.report import Metric, compare, save
from contract import MAX_EVENTS


def test_blocks_are_measured_in_turn_after_one_of_each() -> None:
    """The order is ABBA, and what comes first is not counted."""
    ran: list[str] = []
    number = iter(range(100))

    def block(name: str) -> int:
        ran.append(name)
        return next(number)

    assert interleave(lambda: block("A"), lambda: block("B"), 3) == [(2, 3), (5, 4), (6, 7)]
    assert "".join(ran) == "AB" + "AB" + "BA" + "AB"


def test_medians_and_quartiles_of_the_share() -> None:
    """A block that was disturbed moves neither."""
    pairs = list(zip([2.0, 2.0, 2.0, 2.0, 50.0], cycle([1.0]), strict=False))
    assert Comparison.of(pairs) == Comparison(on=2.0, off=1.0, ratio=2.0, share=0.5, share_low=0.5, share_high=0.5)


def test_what_costs_nothing_without_the_guarantees_has_no_ratio() -> None:
    """All of it is theirs; and of nothing, nothing is."""
    assert Comparison.of([(3.0, 0.0)] * 2) == Comparison(3.0, 0.0, None, 1.0, 1.0, 1.0)
    assert Comparison.of([(0.0, 0.0)] * 2).share == 0.0


costs = st.floats(1e-6, 1e6)


@given(st.lists(st.tuples(costs, costs), min_size=2))
def test_the_share_lies_within_its_quartiles(pairs: list[tuple[float, float]]) -> None:
    """And never above one."""
    found = Comparison.of(pairs)
    assert found.share_low <= found.share <= found.share_high <= 1


def test_a_metric_is_told_in_its_unit(tmp_path: Path) -> None:
    """What is written names what it was measured on."""
    pairs = [(Cost(wall=2, process=1, valkey=0.5), Cost(wall=1, process=1, valkey=0.25))] * 2
    found = list(compare("s", pairs, [Metric("CPU of both", "ms", lambda cost: cost.cpu, 1000)]))
    assert [(one.comparison.on, one.comparison.off) for one in found] == [(1500, 1250)]
    save(tmp_path / "results" / "x.json", {"measured": [asdict(one) for one in found]}, valkey="9.1")
    written = json.loads((tmp_path / "results" / "x.json").read_text())
    assert written["measured"][0]["comparison"]["on"] == 1500
    assert written["versions"]["valkey"] == "9.1"
    assert {"date", "cores", "machine", "python"} <= written.keys()


@pytest.mark.parametrize(
    ("arguments", "quick", "out"),
    [
        ([], False, RESULTS),
        (["--quick"], True, None),
        (["--quick", "--out", "x.json"], True, Path("x.json")),
        (["--out", "x.json"], False, Path("x.json")),
    ],
)
def test_a_quick_run_overwrites_no_results(arguments: list[str], quick: bool, out: Path | None) -> None:
    """It writes only into a file that is named."""
    given = parse(arguments)
    assert (given.quick, given.out) == (quick, out)


@pytest.mark.parametrize("quick", [True, False])
def test_every_series_can_be_measured(quick: bool) -> None:
    """Batches fit into messages, and there are pairs enough for quartiles."""
    every = [(one.size, one.batches, one.pairs) for one in enqueuing(quick=quick)]
    every += [(one.size, one.batches, one.pairs) for one in ingesting(quick=quick)]
    for size, batches, pairs in every:
        assert 1 <= size <= MAX_EVENTS
        assert batches >= 1
        assert pairs >= 2


def test_pictures_are_of_the_sizes_that_are_said() -> None:
    """About 300 KB and about 10 KB."""
    usual, thumbnails, _ = ingesting(quick=True)
    for series, low, high in ((usual, 200_000, 400_000), (thumbnails, 5_000, 15_000)):
        assert low < sum(map(len, series.pictures)) / len(series.pictures) < high
