"""Pages: self-contained, and what others named is text in them."""

from pathlib import Path
from typing import Any

import pytest

from contract import Kind, Orientation
from producer.cli.showing import NotWritten, write_page
from producer.pages import Section, render_duplicates, render_report, render_search

HOSTILE = "<script>alert(1)</script>\" onerror='x"


def match(**changed: Any) -> Any:
    """A match."""
    made = {"id": 1, "meta_id": 7, "company_id": 1, "distance": 3, "object_key": HOSTILE, "quality": 90}
    return {**made, "chance": 0.0003, "count": 1, "members": [], **changed}


def group(size: int = 3, first: int = 10) -> dict[str, Any]:
    """A group of duplicates."""
    members = [{"id": n, "meta_id": first + n, "object_key": HOSTILE, "distance": n} for n in range(size)]
    return {"representative": first, "size": size, "members": members}


def is_self_contained(page: str) -> bool:
    """Whether it asks nothing of anybody, and nothing of an object key is an element or an attribute."""
    return not any(bad in page for bad in ("<script>alert", "' onerror", '" onerror', "http://", "https://"))


def test_a_match_says_how_sure_it_is() -> None:
    """In words: bits, chance, what it is, and who else has the hash."""
    members = [{"id": n, "meta_id": n, "company_id": 1, "object_key": "x"} for n in (7, 8)]
    verified = {"kind": Kind.ROTATED_OR_MIRRORED, "verified_distance": 4, "orientation": Orientation.ROTATED_90}
    found = [match(count=13, members=members), match(**verified), match(chance=12.34), match(chance=1e-9)]
    page = render_search({"hash": "ahash", "matches": found}, "AAAA", [("AAAA", None)] * 3 + [(None, "gone")])
    assert is_self_contained(page)
    assert "default-src 'none'" in page
    for said in (
        "3 of 64 bits differ",
        "one in 3,333 searches",
        "12.3 unrelated pictures",
        "less than one in 10,000 searches",
        "13 pictures have this hash: 7, 8 and 11 more",
        "rotated or mirrored (rotated 90)",
        "4 of 256 at the second look",
        "No picture: gone",
        "The picture that was asked for",
    ):
        assert said in page


def test_groups_are_written_one_after_the_other() -> None:
    """Of a large group the first are shown, and it says how many more there are."""
    asked: list[int] = []

    def groups() -> Any:
        for number in range(30):
            asked.append(number)
            yield group(5, first=100 * number), [("AAAA", None), (None, "gone")]

    pieces = render_duplicates(groups(), company_id=7, profile="pdq", max_distance=20, shown=2)
    next(pieces)
    assert len(asked) <= 2
    page = "".join(pieces)
    assert is_self_contained(page)
    assert len(asked) == 30
    assert page.count("and 3 more") == 30
    assert page.count("<details open>") == 20
    assert "within 20 of 256 bits" in page


def test_a_report_has_its_sections() -> None:
    """Text, table and figure of a section are on the page, escaped."""
    page = render_report("Evaluation", [Section("Recall", ["<b>"], [["bits"], ["5"]], "AAAA", "Recall by bits")])
    assert "&lt;b&gt;" in page
    assert "<td>5</td>" in page
    assert 'src="data:image/png;base64,AAAA" alt="Recall by bits"' in page


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """What was there stays until the new one is whole, and nothing is left beside it."""
    file = tmp_path / "page.html"
    file.write_text("before")

    def breaking() -> Any:
        yield "half"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_page(file, breaking())
    assert file.read_text() == "before"
    write_page(file, ["an", "other"])
    assert file.read_text() == "another"
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(NotWritten, match="No such file"):
        write_page(tmp_path / "no" / "page.html", ["x"])
