"""`lookalike evaluate`."""

from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Annotated, Final

import typer

from contract import DEFAULT_FALSE_MATCH_RATE, DEFAULT_SAMPLE, EVALUATED, MAX_SAMPLE
from producer.cli.options import AsJson, CompanyId, Timeout, readable_file
from producer.cli.output import complain, print_json, print_table, printable
from producer.cli.session import open_client
from producer.cli.showing import Html, write_file, write_page
from producer.evaluation import COLUMNS, page, profile_rows, remarks, transform_rows

if TYPE_CHECKING:
    from contract import EvaluationResult
    from producer.evaluation import EvaluateArguments

EXAMPLES: Final = """\b
Examples:
  lookalike evaluate --company 7                              # on 200 of its pictures
  lookalike evaluate --company 7 --sample 500 --png curves.png --html report.html
  lookalike evaluate --keys keys.txt --hash phash.upright,pdq.upright --false-match-rate 1e-3
"""


def evaluate(
    ctx: typer.Context,
    *,
    company_id: CompanyId = None,
    keys: Annotated[
        Path | None,
        typer.Option(
            "--keys",
            metavar="FILE",
            callback=readable_file,
            help="Object keys, one a line, to sample in place of a tenant's. They need not be indexed.",
        ),
    ] = None,
    sample: Annotated[
        int, typer.Option("--sample", metavar="N", min=2, max=MAX_SAMPLE, help="How many pictures to take.")
    ] = DEFAULT_SAMPLE,
    hashes: Annotated[
        str, typer.Option("--hash", metavar="PROFILE,...", help="The profiles. Workers need not serve them.")
    ] = ",".join(EVALUATED),
    transforms: Annotated[
        str | None,
        typer.Option("--transforms", metavar="NAME,...", help="Which changed copies to make; all unless given."),
    ] = None,
    false_match_rate: Annotated[
        float,
        typer.Option(
            "--false-match-rate", metavar="RATE", help="The share of the pairs of unrelated pictures that may match."
        ),
    ] = DEFAULT_FALSE_MATCH_RATE,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Another seed takes other pictures.")] = 0,
    png: Annotated[
        Path | None, typer.Option("--png", metavar="FILE", dir_okay=False, help="Draw the curves into a file.")
    ] = None,
    html: Html = None,
    timeout: Timeout = 60.0,
    as_json: AsJson = False,
) -> None:
    """Measure on your own pictures which profile finds changed copies, and within which distance to search.

    Workers read the pictures, save them again, resize, crop, turn and mark them, and hash what comes out. Interrupted,
    the same command goes on where it was.
    """
    from producer.cli.progress import show_progress  # noqa: PLC0415 - rich is slow to import
    from producer.plots import draw_report, require_matplotlib  # noqa: PLC0415 - as above

    if png is not None or html is not None:
        require_matplotlib()
    arguments: EvaluateArguments = {
        "company_id": company_id,
        "keys": None if keys is None else _some(_lines(keys), sample, seed),
        "sample": sample,
        "hashes": _names(hashes),
        "transforms": None if transforms is None else _names(transforms),
        "false_match_rate": false_match_rate,
        "seed": seed,
    }
    failed: dict[str, str] = {}
    with open_client(ctx) as client, show_progress(None, "evaluating") as bar:

        def show(result: "EvaluationResult") -> None:
            bar.reached(result["read"], result["total"])
            failed.update(result["failed"])

        try:
            report = client.evaluate(**arguments, progress=show, timeout=timeout)
        except KeyboardInterrupt:
            complain("interrupted; the same command goes on from here")
            raise
    if png is not None or html is not None:
        drawn = draw_report(report)
        if png is not None:
            write_file(png, [drawn])
        if html is not None:
            write_page(html, [page(report, failed, drawn)])
    if as_json:
        print_json({**report, "failed": failed})
        return
    print_table(list(COLUMNS), profile_rows(report))
    print_table(["copy", *(f">{profile['hash']}" for profile in report["profiles"])], transform_rows(report))
    for line in remarks(report, failed):
        typer.echo(printable(line))


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _some(keys: list[str], count: int, seed: int) -> list[str]:
    """No more than so many of them."""
    return keys if len(keys) <= count else Random(seed).sample(keys, count)  # noqa: S311 - no secret


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line]
