"""Asking for an evaluation, and what its report says in words and tables."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict

from contract import VERSION, EvaluationReport, decode_evaluate

_CURVES: Final = (
    "Recall over the false-match rate, a curve for each profile, and recall by kind of copy; the tables say the same."
)
COLUMNS: Final = ("profile", ">bits", ">max distance", ">recall", ">false-match rate", ">at most (95 %)")


class EvaluateArguments(TypedDict, total=False):
    """What `Client.evaluate` takes; `contract.Evaluating` says what each means."""

    company_id: int | None
    keys: Sequence[str] | None
    sample: int
    hashes: Sequence[str]
    transforms: Sequence[str] | None
    false_match_rate: float
    seed: int


def evaluate_arguments(arguments: EvaluateArguments) -> dict[str, Any]:
    """The message of an evaluation, checked.

    Raises:
        InvalidMessage: naming the argument.
    """
    message: dict[str, Any] = {
        name: list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
        for name, value in arguments.items()
    }
    decode_evaluate({**message, "version": VERSION})
    return {**message, "version": VERSION}


def profile_rows(report: EvaluationReport) -> list[list[str]]:
    """A row of `COLUMNS` for each profile, the most recall first."""
    ranked = sorted(report["profiles"], key=lambda profile: -profile["recall"])
    return [
        [
            profile["hash"],
            str(profile["bits"]),
            "none" if profile["max_distance"] is None else str(profile["max_distance"]),
            f"{profile['recall']:.1%}",
            f"{profile['false_match_rate']:.2g}",
            f"{profile['upper_bound']:.2g}",
        ]
        for profile in ranked
    ]


def transform_rows(report: EvaluationReport) -> list[list[str]]:
    """A row for each transform: its name, and the recall of each profile in the order of the report."""
    return [
        [name, *(f"{profile['recalls'][name]:.0%}" for profile in report["profiles"])] for name in report["transforms"]
    ]


def remarks(report: EvaluationReport, failed: Mapping[str, str]) -> list[str]:
    """What is to be known of a report, one sentence or two each."""
    rate = report["false_match_rate"]
    copies = f"{len(report['transforms'])} changed copies of each"
    said = [f"{report['pictures']:,} pictures, {copies}; {report['unrelated_pairs']:,} pairs of unrelated pictures."]
    if report["related_pairs"]:
        said.append(f"{report['related_pairs']:,} pairs were left out: they seem to show the same (PDQ, 31 bits).")
    if report["blank"]:
        said.append(f"{report['blank']:,} pictures were left out: there is too little in them to compare.")
    if failed:
        key, why = next(iter(failed.items()))
        said.append(f"{len(failed):,} pictures could not be used, {key} among them: {why}")
    if report["unrelated_pairs"] < report["pairs_needed"]:
        said.append(
            f"The sample is too small to measure a false-match rate of {rate:g}: that takes some "
            f"{report['pairs_needed']:,} pairs, {_pictures_for(report['pairs_needed']):,} pictures. "
            "The true rate may be as high as the last column says."
        )
    advice = report["recommended"]
    said.append(
        f"At a false-match rate of {rate:g} no profile finds any copy."
        if advice is None
        else f"Recommended: LOOKALIKE_HASH={advice['hash']} and searches with max_distance={advice['max_distance']}."
    )
    return said


def page(report: EvaluationReport, failed: Mapping[str, str], png: bytes) -> str:
    """The report as a page of HTML that needs nothing else.

    Args:
        report: what was measured.
        failed: why pictures could not be used, by object key.
        png: its curves.
    """
    from producer.pages import Section, render_report  # noqa: PLC0415 - Jinja2 is slow to import

    kinds = ["copy", *(profile["hash"] for profile in report["profiles"])]
    return render_report(
        "Which hash finds the copies of your pictures",
        [
            Section("What to do", paragraphs=remarks(report, failed)),
            Section("Profiles", table=[[name.removeprefix(">") for name in COLUMNS], *profile_rows(report)]),
            Section("Curves", figure=b64encode(png).decode(), alt=_CURVES),
            Section("Recall by kind of copy", table=[kinds, *transform_rows(report)]),
        ],
    )


def _pictures_for(pairs: int) -> int:
    """How many pictures have so many pairs."""
    return 1 + int((2 * pairs) ** 0.5)
