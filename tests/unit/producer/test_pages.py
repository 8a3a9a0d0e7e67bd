"""Pages: self-contained, and what others named is text in them."""

from typing import Any

from producer.pages import Section, render_report, render_search

HOSTILE = "<script>alert(1)</script>\" onerror='x"


def match(**changed: Any) -> Any:
    """A match."""
    made = {"id": 1, "meta_id": 7, "company_id": 1, "distance": 3, "object_key": HOSTILE, "quality": 90}
    return {**made, "chance": 0.0003, "count": 13, "members": [], **changed}


def test_a_hostile_object_key_is_text() -> None:
    """Nothing of an object key becomes an element or an attribute."""
    page = render_search({"hash": "ahash", "matches": [match()]}, None, [("AAAA", None)])
    assert "<script>alert" not in page
    assert "' onerror" not in page
    assert '" onerror' not in page
    assert "and 12 more with the same hash" in page
    assert "default-src 'none'" in page
    assert "http://" not in page
    assert "https://" not in page


def test_a_report_has_its_sections() -> None:
    """Text, table and figure of a section are on the page, escaped."""
    page = render_report("Evaluation", [Section("Recall", ["<b>"], [["bits"], ["5"]], "AAAA", "Recall by bits")])
    assert "&lt;b&gt;" in page
    assert "<td>5</td>" in page
    assert 'src="data:image/png;base64,AAAA" alt="Recall by bits"' in page
