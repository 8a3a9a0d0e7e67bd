"""`lookalike dead`: the events that were given up."""

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from producer.cli.options import AsJson
from producer.cli.output import count, print_json, printable
from producer.cli.session import open_client

if TYPE_CHECKING:
    from contract import DeadLetter

group = typer.Typer(help="Look at the events that were given up.", no_args_is_help=True)


@group.callback()
def _dead() -> None:
    pass


@group.command("list")
def list_letters(
    ctx: typer.Context,
    *,
    limit: Annotated[int | None, typer.Option(min=1, help="How many at the most; all unless given.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the events that were given up, oldest first, with the reason; in JSON one object a line."""
    with open_client(ctx) as client:
        for letter in islice(client.dead_letters(), limit):
            if as_json:
                print_json(letter.as_dict())
            else:
                typer.echo(_line(letter))


def _line(letter: "DeadLetter") -> str:
    attempts = count(letter.attempts, "attempt")
    return printable(f"{letter.last_seen}  {letter.reason}  {_name(letter.event)}: {letter.error} ({attempts})")


def _name(event: Any) -> str:
    try:
        return f"company {event['company_id']}, meta {event['meta_id']}, {event['object_key']}"
    except (LookupError, TypeError):  # an event that does not fit the contract is a dead letter too
        return str(event)
