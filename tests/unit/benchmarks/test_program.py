"""What `make bench` prints and writes down; the measuring itself is not for tests."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from rich.console import Console

from benchmarks.__main__ import RESULTS, SECTIONS, main, measure, parse
from benchmarks.section import Section, Table


def run(console: Console, quick: bool) -> Iterator[Table]:  # noqa: ARG001
    """Give one table."""
    yield Table("t", "of something", [{"what": "a", "ms": 12345.678, "n": 1200, "ratio": None}], ["It is made up."])


def draw(tables: Mapping[str, Table]) -> Figure:
    """Draw nothing of the table."""
    assert list(tables) == ["t"]
    return Figure()


SECTION = Section("made-up", "nothing", run, draw, lambda: {"thing": "1.2"})


def test_a_section_is_printed_and_written_with_what_it_was_measured_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a table for people, as JSON, and as a picture."""
    measure(SECTION, Console(width=100), quick=False, out=tmp_path / "results")
    printed = capsys.readouterr().out
    for text in ("of something", "12,346", "1,200", "It is made up."):
        assert text in printed
    written = json.loads((tmp_path / "results" / "made-up.json").read_text())
    assert written["tables"][0]["rows"] == [{"what": "a", "ms": 12345.678, "n": 1200, "ratio": None}]
    assert written["versions"]["thing"] == "1.2"
    assert (tmp_path / "results" / "made-up.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quick run is only tried."""
    monkeypatch.chdir(tmp_path)
    measure(SECTION, Console(width=100), quick=True, out=None)
    assert list(tmp_path.iterdir()) == []


def test_a_quick_run_overwrites_no_results() -> None:
    """It writes only into a folder that is named."""
    assert parse([]).out == RESULTS
    assert parse(["--quick"]).out is None
    assert parse(["--quick", "--out", "x"]).out == Path("x")


def test_an_unknown_section_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is measured."""
    with pytest.raises(SystemExit, match="2"):
        parse(["no-such-section"])
    assert "no-such-section" in capsys.readouterr().err


def test_sections_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Each by a name of its own, with a line that says what it measures."""
    main(["--list"])
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == [section.name for section in SECTIONS]
    assert len({section.name for section in SECTIONS}) == len(SECTIONS)
