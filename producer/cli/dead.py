"""`lookalike dead`: the events that were given up."""

import json
import sys
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from producer.cli.options import AsJson
from producer.cli.output import complain, count, print_json, printable
from producer.cli.selecting import All, Company, Ids, OptionalIds, Reasons, Since, Until, select, select_some
from producer.cli.session import open_client
from producer.selection import Selection

if TYPE_CHECKING:
    from producer.dead_letters import DeadLetters, ReplayResult
    from producer.selection import StoredLetter

group = typer.Typer(
    help="Look at the events that were given up, have them tried again, or throw them away.", no_args_is_help=True
)


@group.callback()
def _dead() -> None:
    pass


@group.command("list")
def list_letters(
    ctx: typer.Context,
    *,
    reason: Reasons = None,
    company_id: Company = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int | None, typer.Option(min=1, help="How many at the most; all unless given.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the events that were given up, oldest first, with id and reason; in JSON one object a line."""
    selection = select(None, reason, company_id, since, until)
    with open_client(ctx) as client:
        for stored in islice(client.dead.read(selection), limit):
            if as_json:
                print_json(stored.as_dict())
            else:
                typer.echo(_line(stored))


@group.command()
def show(ctx: typer.Context, ids: Ids, *, as_json: AsJson = False) -> None:
    """Print letters whole; in JSON one object a line."""
    selection = Selection(tuple(ids))
    shown: set[str] = set()
    with open_client(ctx) as client:
        for stored in client.dead.read(selection):
            if as_json:
                print_json(stored.as_dict())
            else:
                typer.echo(("\n" if shown else "") + _whole(stored))
            shown.add(stored.id)
    for missing in (one for one in selection.ids if one not in shown):
        complain(f"{missing}: no such dead letter")
    if len(shown) < len(selection.ids):
        raise typer.Exit(1)


@group.command()
def replay(
    ctx: typer.Context,
    ids: OptionalIds = None,
    *,
    reason: Reasons = None,
    company_id: Company = None,
    since: Since = None,
    until: Until = None,
    everything: All = False,
    as_json: AsJson = False,
) -> None:
    """Enqueue events again, as if they were new, and remove their letters.

    Events that fit no contract stay; then the exit code is 1. Several replays at once do not double an event.
    """
    selection = select_some(select(ids, reason, company_id, since, until), everything)
    with open_client(ctx) as client:
        result = _replay(client.dead, selection)
    if as_json:
        print_json({"replayed": result.replayed, "left": result.left})
    else:
        left = f"; {count(result.left, 'letter')} left" if result.left else ""
        typer.echo(f"replayed {count(result.replayed, 'event')}{left}")
    if _some_missing(selection, result.replayed + result.left) or result.left:
        raise typer.Exit(1)


@group.command()
def purge(
    ctx: typer.Context,
    ids: OptionalIds = None,
    *,
    reason: Reasons = None,
    company_id: Company = None,
    since: Since = None,
    until: Until = None,
    everything: All = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove letters for good. Their events are not tried again."""
    selection = select_some(select(ids, reason, company_id, since, until), everything)
    if not yes and not _somebody_is_there():
        raise typer.BadParameter("Nobody can be asked here: --yes is needed.")
    with open_client(ctx) as client:
        # What dies while somebody reads the question is not removed.
        selection = client.dead.up_to_now(selection)
        if not yes and (letters := client.dead.count(selection)):
            _confirm(f"Remove {count(letters, 'dead letter')} for good?")
        purged = client.dead.purge(selection)
    if as_json:
        print_json({"purged": purged})
    else:
        typer.echo(f"purged {count(purged, 'dead letter')}")
    if _some_missing(selection, purged):
        raise typer.Exit(1)


def _replay(dead: "DeadLetters", selection: Selection) -> "ReplayResult":
    from producer.cli.progress import show_progress  # noqa: PLC0415 - rich is slow to import

    total = dead.count(selection) if sys.stderr.isatty() else None
    with show_progress(total, "replaying") as bar:

        def reject(stored: "StoredLetter", why: str) -> None:
            bar.read(1)
            bar.note(f"{stored.id}: cannot be replayed: {why}")

        def advance(events: int) -> None:
            bar.read(events - bar.events)
            bar.enqueued(events)

        try:
            return dead.replay(selection, reject=reject, progress=advance, waiting=bar.waiting)
        except KeyboardInterrupt:
            complain(f"interrupted; replayed until then: {count(bar.events, 'event')}")
            raise


def _some_missing(selection: Selection, done: int) -> bool:
    missing = len(selection.ids) - done
    if missing > 0:
        complain(f"{missing:,} of {count(len(selection.ids), 'id')}: no such dead letter, or the filters leave it out")
    return missing > 0


def _somebody_is_there() -> bool:
    return sys.stdin.isatty()


def _confirm(question: str) -> None:
    # typer.confirm writes to the standard output, which is for data.
    typer.echo(f"{question} [y/N]: ", nl=False, err=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise typer.Abort


def _line(stored: "StoredLetter") -> str:
    letter = stored.letter
    attempts = count(letter.attempts, "attempt")
    return printable(
        f"{stored.id}  {letter.last_seen}  {letter.reason}  {_name(letter.event)}: {letter.error} ({attempts})"
    )


def _whole(stored: "StoredLetter") -> str:
    fields = stored.as_dict()
    event = json.dumps(fields.pop("event"), ensure_ascii=False)
    return "\n".join(printable(f"{name:<12}{value}") for name, value in (fields | {"event": event}).items())


def _name(event: Any) -> str:
    try:
        return f"company {event['company_id']}, meta {event['meta_id']}, {event['object_key']}"
    except (LookupError, TypeError):  # an event of an object, or one that does not fit the contract
        known = event.get("object_key") if isinstance(event, dict) else None
        return f"object {known}" if isinstance(known, str) else str(event)
