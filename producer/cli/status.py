"""`lookalike status`."""

import typer

from producer.cli.options import AsJson, Timeout
from producer.cli.output import print_json, print_table
from producer.cli.session import open_client


def status(ctx: typer.Context, *, timeout: Timeout = 5.0, as_json: AsJson = False) -> None:
    """Show what is outstanding, what is dead, how long the queues are, and who works."""
    with open_client(ctx) as client:
        seen = client.status(timeout=timeout)
    if as_json:
        print_json(seen.as_dict())
        return
    rows = [
        ["outstanding events", f"{seen.outstanding:,}"],
        ["oldest of them", f"{seen.oldest_seconds:,.0f} s"],
        ["dead letters", f"{seen.dead:,}"],
        ["workers", f"{seen.workers:,}"],
        *([f"queue {name}", f"{length:,} messages"] for name, length in seen.queues.items()),
        *([f"collection {name}", f"{rows:,} rows"] for name, rows in seen.collections.items()),
    ]
    print_table(["what", ">now"], rows)
