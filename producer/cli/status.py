"""`lookalike status`."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from producer.cli.options import AsJson, Timeout
from producer.cli.output import print_alarm, print_json, print_table
from producer.cli.session import open_client

if TYPE_CHECKING:
    from producer.status import Status

EXAMPLES: Final = """\b
Examples:
  lookalike status --json
  lookalike status --prometheus > lookalike.prom.new && mv lookalike.prom.new lookalike.prom
"""
AsPrometheus = Annotated[
    bool, typer.Option("--prometheus", help="Print metrics in the text format of Prometheus instead of a table.")
]


def status(
    ctx: typer.Context, *, timeout: Timeout = 5.0, as_json: AsJson = False, as_prometheus: AsPrometheus = False
) -> None:
    """Show what is outstanding, what is dead, how long the queues are, who works, and who has stopped and why."""
    if as_json and as_prometheus:
        raise typer.BadParameter("One of --json and --prometheus, not both.")
    with open_client(ctx) as client:
        seen = client.status(timeout=timeout)
    if as_json:
        print_json(seen.as_dict())
    elif as_prometheus:
        from producer.metrics import exposition  # noqa: PLC0415 - only for those who want metrics

        typer.echo(exposition(seen), nl=False)
    else:
        _print(seen)


def _print(seen: "Status") -> None:
    for fuse in seen.fuses:
        print_alarm(f"{fuse.worker} has stopped since {fuse.since} ({fuse.cause}): {fuse.why}")
    rows = [
        ["outstanding events", f"{seen.outstanding:,}"],
        ["oldest of them", f"{seen.oldest_seconds:,.0f} s"],
        ["dead letters", f"{seen.dead:,}"],
        ["workers", f"{seen.workers:,}"],
        *([f"queue {name}", f"{length:,} messages"] for name, length in seen.queues.items()),
        *([f"collection {name}", f"{rows:,} rows"] for name, rows in seen.collections.items()),
    ]
    print_table(["what", ">now"], rows)
