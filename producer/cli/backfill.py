"""`lookalike backfill`."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from contract import LookalikeError
from producer.cli.options import AsJson, KeyTemplateOption, Timeout
from producer.cli.output import complain, count, print_json
from producer.cli.selecting import parse_moment
from producer.cli.session import open_client
from producer.cli.settling import settle

if TYPE_CHECKING:
    from contract import BackfillResult
    from producer.cli.progress import Bar

EXAMPLES: Final = """\b
Examples:
  lookalike backfill --prefix uploads/ --dry-run              # how many there are, and how many are nobody's
  lookalike backfill --prefix uploads/ --key-template 'uploads/{company_id}/{meta_id}/{_}.jpg'
  lookalike backfill --prefix a/ --prefix b/ --rate 500       # both at once, 500 events a second in all
  lookalike backfill --since 7d                               # what was written in the last week
"""
_SUMS: Final = ("read", "enqueued", "unmapped", "skipped", "bytes")


def backfill(
    ctx: typer.Context,
    *,
    prefix: Annotated[
        list[str] | None,
        typer.Option(metavar="P", help="Only objects whose keys begin so. May be given several times."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            metavar="TIME",
            parser=parse_moment,
            help="Only objects written then or later: ISO 8601, in UTC unless it says otherwise, or a span (2h, 7d).",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="No more events than so many, a prefix.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(metavar="N", min=0.01, help="No more events a second than so many, of all prefixes.")
    ] = None,
    key_template: KeyTemplateOption = None,
    skip_unmapped: Annotated[
        bool,
        typer.Option(
            "--skip-unmapped", help="Only count objects whose ids are not found; else each becomes a dead letter."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Enqueue nothing, only count.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew, in place of going on where the same command was.")
    ] = False,
    parallel: Annotated[int, typer.Option(metavar="N", min=1, max=32, help="Prefixes at once.")] = 4,
    counting: Annotated[
        bool, typer.Option("--count/--no-count", help="Count the objects meanwhile, so that a bar shows when it ends.")
    ] = True,
    settled: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until no event is outstanding any more, of whoever.")
    ] = True,
    timeout: Timeout = 60.0,
    as_json: AsJson = False,
) -> None:
    """Have the pictures indexed that are in the bucket already.

    Workers list the bucket and enqueue an event of each object. Interrupted or killed, the same command goes on where
    it was, for a day, and skips nothing. An object that is indexed already and has not changed costs one request.
    """
    from producer.cli.progress import show_progress  # noqa: PLC0415 - rich is slow to import

    prefixes = sorted(set(prefix or [""]))
    if nested := next((pair for pair in pairwise(prefixes) if pair[1].startswith(pair[0])), None):
        raise typer.BadParameter(f"--prefix {nested[0]!r} has all that --prefix {nested[1]!r} has.")
    options: dict[str, Any] = {
        "since": since,
        "key_template": key_template,
        "limit": limit,
        "timeout": timeout,
        "restart": restart,
        "skip_unmapped": skip_unmapped,
    }
    with open_client(ctx) as client, show_progress(None) as bar:
        shown = _Shown(bar, prefixes)
        one = partial(
            client.backfill,
            **options,
            dry_run=dry_run,
            rate=None if rate is None else rate / min(parallel, len(prefixes)),
            waiting=bar.waiting,
        )
        ahead = partial(client.backfill, **options, dry_run=True)
        try:
            if counting and not dry_run and bar.is_shown:
                threading.Thread(target=_count_ahead, args=(ahead, prefixes, shown), daemon=True).start()
            results = _each(one, prefixes, shown, parallel)
            if settled and not dry_run:
                settle(client, bar)
        except KeyboardInterrupt:
            complain("interrupted; the same command goes on from here, and what is enqueued is hashed")
            raise
    if as_json:
        print_json({**{name: sum(result[name] for result in results) for name in _SUMS}, "prefixes": results})
    else:
        _summarize(results, dry_run=dry_run)


class _StoppedError(Exception):
    """Nobody wants the rest any more."""


class _Shown:
    """What a bar shows of several jobs; and the end of them all, when one fails or the command is interrupted."""

    def __init__(self, bar: "Bar", prefixes: Sequence[str]) -> None:
        self._bar = bar
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._read = dict.fromkeys(prefixes, 0)
        self._enqueued = dict.fromkeys(prefixes, 0)
        self._totals: dict[str, int] = {}

    def stop(self) -> None:
        """End all jobs after their next part."""
        self._stopped.set()

    def reached(self, result: "BackfillResult") -> None:
        """Show how far one is."""
        self._check()
        with self._lock:
            self._read[result["prefix"]] = result["read"]
            self._enqueued[result["prefix"]] = result["enqueued"]
            self._show()

    def counted(self, result: "BackfillResult") -> None:
        """Know how many objects one has."""
        self._check()
        with self._lock:
            if result["done"]:
                self._totals[result["prefix"]] = result["read"]
            self._show()

    def _check(self) -> None:
        if self._stopped.is_set():
            raise _StoppedError

    def _show(self) -> None:
        known = self._totals.keys() == self._read.keys()
        self._bar.reached(sum(self._read.values()), sum(self._totals.values()) if known else None)
        self._bar.enqueued(sum(self._enqueued.values()))


def _count_ahead(one: Callable[..., Any], prefixes: Sequence[str], shown: _Shown) -> None:
    """Count the objects of all prefixes, for the bar alone: whoever enqueues tells of what fails."""
    with suppress(LookalikeError, _StoppedError):
        for prefix in prefixes:
            one(prefix, progress=shown.counted)


def _each(
    one: Callable[..., "BackfillResult"], prefixes: Sequence[str], shown: _Shown, parallel: int
) -> "list[BackfillResult]":
    """Backfill several prefixes at once. After an error the others end with their next part."""
    with ThreadPoolExecutor(min(parallel, len(prefixes))) as threads:
        begun = [threads.submit(one, prefix, progress=shown.reached) for prefix in prefixes]
        try:
            wait(begun, return_when=FIRST_EXCEPTION)
            for failed in (each for each in begun if each.done()):
                failed.result()
            return [each.result() for each in begun]
        finally:
            shown.stop()
            for each in begun:
                each.cancel()


def _summarize(results: "Sequence[BackfillResult]", *, dry_run: bool) -> None:
    for result in results:
        enqueued = f"{count(result['enqueued'], 'event')} {'to enqueue' if dry_run else 'enqueued'}"
        left_out = "".join(
            f", {number:,} {why}"
            for number, why in ((result["unmapped"], "of nobody"), (result["skipped"], "left out"))
            if number
        )
        name = f"{result['prefix']}: " if result["prefix"] else ""
        typer.echo(f"{name}{count(result['read'], 'object')}: {enqueued} ({result['bytes']:,} bytes){left_out}")
