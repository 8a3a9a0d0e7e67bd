"""The report of the chaos harness."""

from io import StringIO
from pathlib import Path

from rich.console import Console

from tests.chaos.harness import Result
from tests.chaos.report import BEGIN, END, markdown, table, write
from tests.chaos.verdict import Verdict

KEPT = Result("worker-killed", 2000, 25, 3, Verdict(dead_expected=1, dead_found=1), 4.25)
BROKEN = Result("valkey-killed", 1999, 5, 0, Verdict(missing=(1, 2), doubled=(3,), copies=1, stuck=7), 120.0)


def test_the_table_fits_into_80_columns() -> None:
    """With the longest name of a fault and large numbers."""
    shown = StringIO()
    Console(file=shown, width=80).print(table([KEPT, BROKEN]))
    lines = shown.getvalue().splitlines()
    assert "worker-killed" in lines[2]
    assert lines[3].split() == ["valkey-killed", "1,999", "5", "0", "2", "2", "0", "0/0", "7", "120.0"]
    assert not any("…" in line for line in lines)


def test_markdown_says_how_it_was_run_and_what_was_kept() -> None:
    """The command, the seed, versions, and a row for each fault."""
    text = markdown([KEPT, BROKEN], command="python -m tests.chaos", seed=7)
    assert "`python -m tests.chaos`" in text
    assert "seed 7" in text
    assert "Milvus 2.3.5" in text
    assert "kept under 1 of 2 faults" in text
    assert "| worker-killed | 2,000 | 25 | 3 | 0 | 0 | 0 | 1/1 | 0 | 4.2 |" in text


def test_a_page_is_written_between_its_marks(tmp_path: Path) -> None:
    """What stands around them stays, and a second table takes the place of the first."""
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    write(page, "first")
    write(page, "second")
    assert page.read_text() == f"before\n{BEGIN}\n\nsecond\n\n{END}\nafter\n"
