"""`lookalike search`."""

import binascii
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from contract import MAX_LIMIT, MAX_MEMBERS
from producer.arguments import MAX_IMAGE_BYTES
from producer.cli.options import STDIN, AsJson, CompanyId, Timeout, readable_file
from producer.cli.output import count, print_json, print_table
from producer.cli.session import open_client
from producer.cli.showing import Html, write_page

if TYPE_CHECKING:
    from contract import SearchResult
    from producer.client import Client

EXAMPLES: Final = """\b
Examples:
  lookalike search --key photos/1.jpg --company-id 7
  lookalike search --image cat.png --company-id 7 --max-distance 5
  lookalike search --image cat.png --company-id 7 --max-chance 0.01 --verify --html found.html
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
    max_chance: Annotated[
        float | None,
        typer.Option(
            "--max-chance",
            metavar="N",
            min=0,
            help="In place of --max-distance: so many unrelated pictures may be expected as near by chance, say 0.01.",
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option("--hash", metavar="PROFILE", help="The profile to compare by; else the first."),
    ] = None,
    flat: Annotated[
        bool, typer.Option("--flat", help="A match for each picture, not one for all that have the same vector.")
    ] = False,
    members: Annotated[
        int,
        typer.Option("--members", metavar="N", min=0, max=MAX_MEMBERS, help="Pictures of a match to name at the most."),
    ] = 10,
    low_quality: Annotated[
        bool, typer.Option("--low-quality", help="Find blank and nearly blank pictures too.")
    ] = False,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Look at each match again, turned too, and say what it is; needs a PDQ profile."),
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="See every write acknowledged before; slower.")] = False,
    html: Html = None,
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
) -> None:
    """Find the pictures that look like one, nearest first."""
    if sum(source is not None for source in (object_key, image, vector, meta_id)) != 1:
        raise typer.BadParameter("One of --key, --image, --vector, --meta-id is needed.")
    if company_id is None and not all_companies:
        raise typer.BadParameter("--company-id is needed; only --all-companies searches across tenants.")
    given = None if image is None else _read(image)
    with open_client(ctx) as client:
        result = client.search(
            object_key=object_key,
            image=given,
            vector=vector,
            meta_id=meta_id,
            company_id=company_id,
            all_companies=all_companies,
            limit=limit,
            max_distance=max_distance,
            max_chance=max_chance,
            fresh=fresh,
            hash=profile,
            collapse=not flat,
            members=members,
            low_quality=low_quality,
            verify=verify,
            timeout=timeout,
        )
        if html is not None:
            _write(client, html, result, _asked_for(object_key, given, meta_id, company_id), timeout)
    if as_json:
        print_json(result)
    else:
        _show(result)


def _read(file: Path) -> bytes:
    """The picture; of what is larger than can be sent, no more than tells so."""
    if file == STDIN:
        return sys.stdin.buffer.read(MAX_IMAGE_BYTES + 1)
    with file.open("rb") as stream:
        return stream.read(MAX_IMAGE_BYTES + 1)


def _asked_for(
    object_key: str | None, image: bytes | None, meta_id: int | None, company_id: int | None
) -> dict[str, object] | None:
    """The query's picture, as thumbnails are asked for; a hash has none."""
    if image is not None:
        return {"image": binascii.b2a_base64(image, newline=False).decode()}
    if object_key is not None:
        return {"object_key": object_key}
    return None if meta_id is None else {"meta_id": meta_id, "company_id": company_id}


def _write(
    client: "Client", file: Path, result: "SearchResult", asked_for: dict[str, object] | None, timeout: float
) -> None:
    from producer.cli.progress import show_progress  # noqa: PLC0415 - rich is slow to import
    from producer.pages import render_search  # noqa: PLC0415 - so is Jinja

    matches = [{"meta_id": match["meta_id"], "company_id": match["company_id"]} for match in result["matches"]]
    with show_progress(len(matches), "thumbnails") as bar:
        query = next(client.thumbnails([asked_for], timeout=timeout))[0] if asked_for else None
        thumbnails = []
        for thumbnail in client.thumbnails(matches, timeout=timeout):
            thumbnails.append(thumbnail)
            bar.read(1)
    write_page(file, [render_search(result, query, thumbnails)])


def _show(result: "SearchResult") -> None:
    matches = result["matches"]
    if not matches:
        typer.echo(f"nothing looks like it ({result['hash']})")
        return
    typer.echo(f"{count(len(matches), 'match', 'matches')} by {result['hash']}")
    verified = any("kind" in match for match in matches)
    print_table(
        [">bits", ">by chance", *(["what"] if verified else []), ">pictures", ">company_id", ">meta_id", "object_key"],
        [
            [
                str(match["distance"]),
                f"{match['chance']:.2g}",
                *([match["kind"].replace("_", " ")] if verified else []),
                f"{match['count']:,}",
                str(match["company_id"]),
                str(match["meta_id"]),
                match["object_key"],
            ]
            for match in matches
        ],
    )
