"""Asking for an evaluation, and reading its report."""

import builtins
import copy
from io import BytesIO
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from contract import EVALUATED, MAX_SAMPLE, EvaluationReport, InvalidMessage, decode_evaluate
from producer import plots
from producer.cli.program import program
from producer.evaluation import evaluate_arguments, page, profile_rows, remarks, transform_rows


def profile(name: str, bits: int, max_distance: int | None, recall: float) -> Any:
    """An evaluation of two transforms."""
    distances = range(bits + 1)
    return {
        "hash": name,
        "bits": bits,
        "max_distance": max_distance,
        "recall": recall,
        "false_match_rate": 0.00005,
        "upper_bound": 0.0007,
        "recalls": {"mirror": 0.0, "crop 5%": 2 * recall},
        "recall_at": [distance / bits for distance in distances],
        "false_match_rate_at": [(distance / bits) ** 8 for distance in distances],
        "recalls_at": {name: [distance / bits for distance in distances] for name in ("mirror", "crop 5%")},
    }


REPORT: EvaluationReport = {
    "pictures": 100,
    "blank": 2,
    "transforms": ["mirror", "crop 5%"],
    "unrelated_pairs": 4945,
    "related_pairs": 5,
    "pairs_needed": 100_000,
    "false_match_rate": 1e-4,
    "profiles": [
        profile("ahash", 64, None, 0.0),
        profile("ahash.upright", 64, 2, 0.3),
        profile("pdq.upright", 256, 60, 0.45),
    ],
    "recommended": {"hash": "pdq.upright", "max_distance": 60},
}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "exactly one"),
        ({"company_id": 1, "keys": ["a", "b"]}, "exactly one"),
        ({"keys": ["a"]}, "keys"),
        ({"keys": ["a", "a"]}, "keys: a name is given twice"),
        ({"keys": [str(n) for n in range(MAX_SAMPLE + 1)]}, "keys"),
        ({"company_id": 1, "sample": 1}, "sample"),
        ({"company_id": 1, "sample": MAX_SAMPLE + 1}, "sample"),
        ({"company_id": 1, "hashes": []}, "hashes"),
        ({"company_id": 1, "hashes": ["md5"]}, "no profile 'md5'"),
        ({"company_id": 1, "hashes": ["ahash", "ahash"]}, "hashes: a name is given twice"),
        ({"company_id": 1, "transforms": []}, "transforms"),
        ({"company_id": 1, "false_match_rate": 0.0}, "false_match_rate"),
        ({"company_id": 1, "false_match_rate": 0.6}, "false_match_rate"),
        ({"company_id": 1, "false_match_rate": float("nan")}, "false_match_rate"),
        ({"company_id": 1, "version": 2}, "version"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: dict[str, Any], said: str) -> None:
    """Before anything is sent, naming the argument."""
    with pytest.raises(InvalidMessage, match=said):
        decode_evaluate(arguments)


def test_what_is_not_given_has_a_default() -> None:
    """All profiles but the draft, on 200 pictures; sequences of any kind are sent as lists."""
    message = evaluate_arguments({"keys": ("a", "b")})
    assert message == {"keys": ["a", "b"], "version": 1}
    wanted = decode_evaluate(message)
    assert wanted.hashes == list(EVALUATED)
    assert "ahash_draft" not in wanted.hashes
    assert (wanted.sample, wanted.false_match_rate, wanted.transforms) == (200, 1e-4, None)


def test_tables() -> None:
    """The best profile first; each transform with each profile."""
    assert profile_rows(REPORT)[0] == ["pdq.upright", "256", "60", "45.0%", "5e-05", "0.0007"]
    assert profile_rows(REPORT)[-1][:4] == ["ahash", "64", "none", "0.0%"]
    assert transform_rows(REPORT) == [["mirror", "0%", "0%", "0%"], ["crop 5%", "0%", "60%", "90%"]]


def test_remarks_say_what_to_doubt() -> None:
    """A sample that is too small, what was left out, and what to do."""
    said = "\n".join(remarks(REPORT, {"gone": "no such object"}))
    for words in (
        "100 pictures, 2 changed copies of each; 4,945 pairs",
        "5 pairs were left out",
        "2 pictures were left out",
        "1 pictures could not be used, gone among them: no such object",
        "too small to measure a false-match rate of 0.0001: that takes some 100,000 pairs, 448 pictures",
        "LOOKALIKE_HASH=pdq.upright and searches with max_distance=60",
    ):
        assert words in said
    enough = copy.deepcopy(REPORT)
    enough |= {"unrelated_pairs": 100_000, "related_pairs": 0, "blank": 0, "recommended": None}
    said = "\n".join(remarks(enough, {}))
    assert "too small" not in said
    assert "left out" not in said
    assert "no profile finds any copy" in said


def test_the_curves_are_a_picture() -> None:
    """A PNG that opens, and has more than white in it."""
    with Image.open(BytesIO(plots.draw_report(REPORT))) as image:
        assert image.format == "PNG"
        assert image.width > 1000
        assert len(image.convert("RGB").getcolors(maxcolors=10**6) or ()) > 50


def test_the_page_has_all_of_it() -> None:
    """What to do, both tables and the curves, with object keys that are no markup."""
    text = page(REPORT, {"<script>": "no such object"}, b"\x89PNG")
    for words in (
        "max_distance=60",
        "<td>45.0%</td>",
        "<td>crop 5%</td>",
        "data:image/png;base64,iVBORw==",
        "&lt;script&gt;",
    ):
        assert words in text


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, before any picture is read."""
    monkeypatch.setattr(plots, "find_spec", lambda _name: None)
    monkeypatch.setenv("LOOKALIKE_BROKER_URL", "redis://localhost:1")
    answer = CliRunner().invoke(program, ["evaluate", "--company", "1", "--png", "curves.png"])
    assert answer.exit_code == 1
    assert "pip install 'lookalike[plots]'" in answer.stderr


def test_the_command_line_needs_no_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wants no plot imports none."""
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        assert not name.startswith("matplotlib")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setenv("LOOKALIKE_BROKER_URL", "redis://localhost:1")
    answer = CliRunner().invoke(program, ["evaluate", "--company", "1", "--hash", "md5"])
    assert answer.exit_code == 1
    assert "no profile 'md5'" in answer.stderr
