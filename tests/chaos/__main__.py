"""`python -m tests.chaos`: breaks the stack in every way there is, under load, and shows what became of the events."""

import logging
import secrets
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

import structlog
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.chaos.control import WITHOUT_LEDGER
from tests.chaos.faults import FAULTS, LONG_EVENTS, Fault
from tests.chaos.harness import Result, try_fault
from tests.chaos.report import markdown, table, write
from tests.chaos.rig import Rig
from tests.chaos.verdict import Verdict

_PAGE: Final = Path(__file__).parents[2] / "docs" / "chaos.md"
_LARGEST_SEED: Final = 2**32

program = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _print_faults(asked: bool) -> None:
    if asked:
        width = max(map(len, FAULTS))
        for fault in FAULTS.values():
            typer.echo(f"{fault.name:{width}}  {fault.says}")
        raise typer.Exit


def _known(names: list[str]) -> list[str]:
    if unknown := [name for name in names if name not in FAULTS]:
        raise typer.BadParameter(f"no such fault: {', '.join(unknown)}; --list shows them")
    return names


@program.command()
def chaos(
    *,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="Only this one; may be given again.", callback=lambda names: _known(names or [])),
    ] = None,
    events: Annotated[
        int, typer.Option(min=50, max=100_000, help="To enqueue while each fault is made.")
    ] = LONG_EVENTS,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the schedules; drawn and shown unless given.")] = None,
    without_ledger: Annotated[
        bool,
        typer.Option(
            "--without-ledger", help="Show that the check can fail: events that no ledger knows, and one lost."
        ),
    ] = False,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", help="Where the stack and its logs are, to stay; a temporary folder unless given."),
    ] = None,
    page: Annotated[
        bool | None,
        typer.Option(
            "--write/--no-write",
            help="Write the table into docs/chaos.md.",
            show_default="if all faults are made among 2,000 events or more",
        ),
    ] = None,
    _list: Annotated[
        bool, typer.Option("--list", help="List the faults.", is_eager=True, callback=_print_faults)
    ] = False,
) -> None:
    """Break a real stack in every way there is while events are enqueued, and check what became of each event.

    Every event that was accepted must end as the row of its object or as a dead letter that says why: never as two, and
    never as nothing. The exit code is 0 only if that holds under every fault.
    """
    is_whole = not fault and not without_ledger
    if page and not is_whole:
        raise typer.BadParameter("--write is for the whole table")
    # What is broken on purpose fails here too, and says so at length.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    console = Console()
    drawn = secrets.randbelow(_LARGEST_SEED) if seed is None else seed
    chosen = [WITHOUT_LEDGER] if without_ledger else [FAULTS[name] for name in fault or FAULTS]
    console.print(f"seed {drawn}, {events:,} events for each fault")
    with TemporaryDirectory(prefix="lookalike-chaos-") as folder, Rig(directory or Path(folder)) as rig:
        results = _try_all(console, rig, chosen, seed=drawn, events=events)
    console.print(table(results))
    for result in results:
        if not result.verdict.holds:
            console.print(f"{result.fault}: {result.verdict}", style="red", markup=False)
    if page or (page is None and is_whole and events >= LONG_EVENTS):
        command = shlex.join(["python", "-m", "tests.chaos", *sys.argv[1:]])
        write(_PAGE, markdown(results, command=command, seed=drawn))
    raise typer.Exit(0 if all(result.verdict.holds for result in results) else 1)


def _try_all(console: Console, rig: Rig, faults: list[Fault], *, seed: int, events: int) -> list[Result]:
    results = []
    with _bar(console, len(faults)) as (progress, task):
        for number, fault in enumerate(faults):
            progress.update(task, description=fault.name)
            if fault.needs is not None and fault.needs not in rig.stack.programs:
                progress.console.print(f"{fault.name}: not tried, the stack has no {fault.needs}")
            else:
                results.append(_try_one(rig, fault, seed=seed, events=events, number=number))
            progress.advance(task)
    return results


def _try_one(rig: Rig, fault: Fault, *, seed: int, events: int, number: int) -> Result:
    try:
        return try_fault(rig, fault, seed=seed, events=events, number=number)
    except Exception as error:  # noqa: BLE001 - what goes wrong with one fault hides no other
        Console(stderr=True).print_exception()
        return Result(fault.name, 0, 0, 0, Verdict(failed=f"{type(error).__name__}: {error}"), 0)


@contextmanager
def _bar(console: Console, total: int) -> Iterator[tuple[Progress, Any]]:
    columns = (TextColumn("{task.description:18}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress, progress.add_task("", total=total)


if __name__ == "__main__":
    program(prog_name="python -m tests.chaos")
