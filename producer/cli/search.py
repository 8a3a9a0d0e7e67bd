"""`lookalike search`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from contract import MAX_LIMIT
from producer.cli.options import STDIN, AsJson, CompanyId, Timeout, readable_file
from producer.cli.output import print_json, print_table
from producer.cli.session import open_client

if TYPE_CHECKING:
    from contract import SearchResult

EXAMPLES: Final = """\b
Examples:
  lookalike search --key photos/1.jpg --company-id 7
  lookalike search --image cat.png --company-id 7 --max-distance 5
  lookalike search --vector ffd8c0e0f0f8fcfe --all-companies --json
  curl -s example.com/cat.png | lookalike search --image - --company-id 7
"""


def search(
    ctx: typer.Context,
    *,
    object_key: Annotated[
        str | None, typer.Option("--key", metavar="KEY", help="Like this object of the bucket, indexed or not.")
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(
            "--image",
            metavar="FILE",
            callback=readable_file,
            help="Like this file; - is the standard input.",
        ),
    ] = None,
    vector: Annotated[str | None, typer.Option("--vector", metavar="HEX", help="Like this hash.")] = None,
    meta_id: Annotated[
        int | None, typer.Option("--meta-id", metavar="N", help="Like this picture of the company, already indexed.")
    ] = None,
    company_id: CompanyId = None,
    all_companies: Annotated[
        bool, typer.Option("--all-companies", help="Look through every tenant's pictures.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=MAX_LIMIT, help="How many at the most.")] = 10,
    max_distance: Annotated[
        int | None,
        typer.Option("--max-distance", metavar="BITS", min=0, help="The largest Hamming distance, inclusive."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="See every write acknowledged before; slower.")] = False,
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
) -> None:
    """Find the pictures that look like one, nearest first."""
    if sum(source is not None for source in (object_key, image, vector, meta_id)) != 1:
        raise typer.BadParameter("One of --key, --image, --vector, --meta-id is needed.")
    if company_id is None and not all_companies:
        raise typer.BadParameter("--company-id is needed; only --all-companies searches across tenants.")
    with open_client(ctx) as client:
        result = client.search(
            object_key=object_key,
            image=sys.stdin.buffer if image == STDIN else image,
            vector=vector,
            meta_id=meta_id,
            company_id=company_id,
            all_companies=all_companies,
            limit=limit,
            max_distance=max_distance,
            fresh=fresh,
            timeout=timeout,
        )
    if as_json:
        print_json(result)
    else:
        _show(result)


def _show(result: "SearchResult") -> None:
    matches = result["matches"]
    if not matches:
        typer.echo(f"nothing looks like it ({result['hash']})")
        return
    typer.echo(f"{len(matches):,} {'match' if len(matches) == 1 else 'matches'} by {result['hash']}")
    print_table(
        [">bits", ">company_id", ">meta_id", "object_key", ">id"],
        [
            [
                str(match["distance"]),
                str(match["company_id"]),
                str(match["meta_id"]),
                match["object_key"],
                str(match["id"]),
            ]
            for match in matches
        ],
    )
