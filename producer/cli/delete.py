"""`lookalike delete`."""

from typing import Annotated

import typer

from producer.cli.options import AsJson, Timeout
from producer.cli.output import print_json
from producer.cli.session import open_client


def delete(
    ctx: typer.Context,
    meta_ids: Annotated[list[int], typer.Argument(metavar="META_ID", help="Your ids of the pictures.")],
    *,
    company_id: Annotated[
        int, typer.Option("--company-id", "--company", metavar="N", help="The tenant that the pictures belong to.")
    ],
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
) -> None:
    """Remove pictures from the index. The objects in the bucket stay.

    Deletions share a queue with uploads, in order. One that is not done within the timeout is done later all the same.
    """
    with open_client(ctx) as client:
        deleted = client.delete(
            [{"meta_id": meta_id, "company_id": company_id} for meta_id in meta_ids], timeout=timeout
        )
    if as_json:
        print_json({"deleted": deleted})
    else:
        typer.echo(f"deleted {deleted:,} of {len(meta_ids):,}")
