"""`lookalike duplicates`."""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from producer.cli.options import AsJson, Timeout
from producer.cli.output import complain, count, print_json, printable
from producer.cli.session import open_client
from producer.cli.showing import Html, write_page

if TYPE_CHECKING:
    from contract.duplicates import DuplicatesResult, Group
    from producer.client import Client
    from producer.pages import Thumbnail

EXAMPLES: Final = """\b
Examples:
  lookalike duplicates --company 7
  lookalike duplicates --company 7 --max-distance 4 --json > groups.jsonl
  lookalike duplicates --company 7 --html duplicates.html
  lookalike duplicates --company 7 --not-duplicate 12,15      # remembered, and kept apart from now on
  lookalike duplicates --company 7 --decisions                # what is remembered
"""

# Pictures of a group on a page: what it takes to see whether they are alike.
_SHOWN: Final = 12


def duplicates(
    ctx: typer.Context,
    *,
    company_id: Annotated[
        int, typer.Option("--company-id", "--company", metavar="N", help="The tenant that the pictures belong to.")
    ],
    max_distance: Annotated[
        int | None,
        typer.Option(
            metavar="BITS", min=0, help="The largest Hamming distance of two pictures that look alike, inclusive."
        ),
    ] = None,
    max_chance: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            min=0,
            help="In place of it: how many unrelated pictures may be so near to one by chance; 0.01 unless given.",
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option("--hash", metavar="PROFILE", help="The hash to compare by; else the workers' first."),
    ] = None,
    low_quality: Annotated[
        bool, typer.Option("--low-quality", help="Group blank and nearly blank pictures too.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew, whatever is done already.")] = False,
    not_duplicate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A,B[,...]",
            help="Remember that these pictures, given by their meta ids, are no duplicates of each other, and end.",
        ),
    ] = None,
    forget: Annotated[
        list[str] | None, typer.Option(metavar="A,B[,...]", help="Forget what was remembered of these, and end.")
    ] = None,
    decisions: Annotated[bool, typer.Option("--decisions", help="Print what is remembered, and end.")] = False,
    html: Html = None,
    timeout: Timeout = 60.0,
    as_json: AsJson = False,
) -> None:
    """Find all groups of a tenant's pictures that look alike.

    Each picture of a group is near another of it, but two of them may be far apart. With --json each group is a line.
    Interrupted, the same command goes on where it was, for a day.
    """
    if not_duplicate or forget or decisions:
        with open_client(ctx) as client:
            _decide(client, company_id, not_duplicate or [], forget or [], as_json=as_json)
        return
    if max_distance is not None and max_chance is not None:
        raise typer.BadParameter("Give one of --max-distance and --max-chance.")
    from producer.cli.progress import show_progress  # noqa: PLC0415 - rich is slow to import

    last: DuplicatesResult | None = None
    number = 0
    with open_client(ctx) as client:
        try:
            # The bar ends before the first group is printed: it takes the standard output along with it.
            with show_progress(None, "reading") as bar:

                def show(result: "DuplicatesResult") -> None:
                    nonlocal last
                    last = result
                    bar.doing(result["state"], result["done"], result["total"])

                groups = client.duplicates(
                    company_id,
                    max_distance=max_distance,
                    max_chance=max_chance,
                    profile=profile,
                    low_quality=low_quality,
                    restart=restart,
                    progress=show,
                    timeout=timeout,
                )
                first = next(groups, None)
            everything = chain([] if first is None else [first], groups)
            if html is not None and last is not None:
                number = _write(client, html, everything, last, company_id=company_id, timeout=timeout, as_json=as_json)
            for number, group in enumerate(everything, 1):
                _print(number, group, as_json=as_json)
        except KeyboardInterrupt:
            complain("interrupted; the same command goes on from here")
            raise
    if not as_json and last is not None:
        typer.echo(f"{count(number, 'group')} by {last['hash']}, at a distance of {last['max_distance']} or less")


def _write(
    client: "Client",
    file: Path,
    groups: Iterable["Group"],
    result: "DuplicatesResult",
    *,
    company_id: int,
    timeout: float,
    as_json: bool,
) -> int:
    """Write the page, and print the groups with --json; how many they are."""
    from producer.cli.progress import show_progress  # noqa: PLC0415 - rich is slow to import
    from producer.pages import render_duplicates  # noqa: PLC0415 - so is Jinja

    number = 0
    with show_progress(result["groups"], "thumbnails") as bar:

        def shown() -> "Iterator[tuple[Group, list[Thumbnail]]]":
            nonlocal number
            for group in groups:
                number += 1
                if as_json:
                    print_json(group)
                first = [
                    {"meta_id": member["meta_id"], "company_id": company_id} for member in group["members"][:_SHOWN]
                ]
                yield group, list(client.thumbnails(first, timeout=timeout))
                bar.read(1)

        write_page(
            file,
            render_duplicates(
                shown(),
                company_id=company_id,
                profile=result["hash"],
                max_distance=result["max_distance"],
                shown=_SHOWN,
            ),
        )
    return number


def _print(number: int, group: "Group", *, as_json: bool) -> None:
    if as_json:
        print_json(group)
        return
    typer.echo(f"group {number:,}: {count(len(group['members']), 'picture')}")
    for member in group["members"]:
        typer.echo(f"  {member['distance']:>3}  {member['meta_id']:>12}  {printable(member['object_key'])}")


def _decide(client: "Client", company_id: int, recorded: list[str], forgotten: list[str], *, as_json: bool) -> None:
    """Record and forget; with nothing to record or forget, list."""
    done = []
    if recorded:
        pairs = client.decide(company_id=company_id, not_duplicates=[_meta_ids(text) for text in recorded])
        done.append(("not duplicates", pairs))
    if forgotten:
        pairs = client.forget_decisions(company_id=company_id, pairs=[_meta_ids(text) for text in forgotten])
        done.append(("forgotten", pairs))
    for what, pairs in done or [("not duplicates", client.decisions(company_id))]:
        for one, other in pairs:
            if as_json:
                print_json({"decision": what.replace(" ", "_"), "meta_ids": [one, other]})
            else:
                typer.echo(f"{what}: {one} and {other}")


def _meta_ids(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{text} is no list of meta ids such as 12,15.") from None
