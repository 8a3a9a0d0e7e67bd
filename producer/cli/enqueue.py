"""`lookalike enqueue`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final

import typer

from contract import MAX_EVENTS, InvalidMessage
from producer.cli.lines import Advance, Event, Format, Reject, read_events
from producer.cli.options import STDIN, AsJson, CompanyId, KeyTemplateOption, readable_file
from producer.cli.output import complain, count, print_json
from producer.cli.rejections import open_rejections, writable_file
from producer.cli.session import open_client

if TYPE_CHECKING:
    from producer.client import Client

EXAMPLES: Final = """\b
Examples:
  lookalike enqueue photos/1.jpg --meta-id 1 --company-id 7
  lookalike enqueue --file uploads.csv --rejects bad-lines.jsonl
  psql --csv -f new.sql | lookalike enqueue --file - --format csv
  lookalike enqueue --file missed-events.jsonl --format oss-event

\b
A CSV file begins with a header:
  object_key,meta_id,company_id
  photos/1.jpg,1,7
Each line of JSONL is an object:
  {"object_key": "photos/1.jpg", "meta_id": 1, "company_id": 7}
Of oss-event, each line (or the whole file) is a delivery as `lookalike listen` takes it: EventBridge's, SMQ's, Function
Compute's, a callback's. Whose picture it is, the workers find out.
"""
_SUFFIXES: Final = {".csv": Format.CSV, ".jsonl": Format.JSONL, ".ndjson": Format.JSONL}


def enqueue(
    ctx: typer.Context,
    object_key: Annotated[str | None, typer.Argument(metavar="KEY", help="The key of an uploaded object.")] = None,
    *,
    meta_id: Annotated[int | None, typer.Option(metavar="N", help="Your id of the picture.")] = None,
    company_id: CompanyId = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            callback=readable_file,
            help="Enqueue the events of a file; - is the standard input.",
        ),
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="How the file is written; else its name says, and the standard input is jsonl."),
    ] = None,
    key_template: KeyTemplateOption = None,
    rejects: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="Write the lines that cannot be used to this file, with their numbers and what is wrong, as JSONL. "
            "Else the first 20 are told of.",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, max=MAX_EVENTS, help="Events in a message.")] = MAX_EVENTS,
    wait: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="How long to wait, at a time, for a backlog to shrink; else as long as it takes.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Have uploaded pictures indexed: one, or all of a file.

    Lines that cannot be used are told of and left out; then the exit code is 1. To enqueue an event again does no harm.
    """
    writable_file(rejects, source=file)
    if file is None:
        if object_key is None or meta_id is None or company_id is None:
            raise typer.BadParameter("KEY, --meta-id and --company-id are needed, or --file.")
        with open_client(ctx) as client:
            client.enqueue(object_key, meta_id=meta_id, company_id=company_id)
        _summarize(events=1, batches=1, rejected=0, as_json=as_json)
        return
    if object_key is not None or meta_id is not None or company_id is not None:
        raise typer.BadParameter("With --file, the file says which pictures: no KEY, --meta-id or --company-id.")
    form = form or _guess(file)
    if key_template is not None and form is not Format.OSS_EVENT:
        raise typer.BadParameter("--key-template is for --format oss-event: other events have their ids.")
    with open_client(ctx) as client, _opened(file) as stream:
        source = _Source(file, stream, form, key_template, rejects)
        rejected = _enqueue_file(client, source, batch_size, wait=wait, as_json=as_json)
    if rejected:
        raise typer.Exit(1)


def _guess(file: Path) -> Format:
    form = Format.JSONL if file == STDIN else _SUFFIXES.get(file.suffix.lower())
    if form is None:
        raise typer.BadParameter(f"{file} does not end in {', '.join(_SUFFIXES)}: say --format csv or --format jsonl.")
    return form


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    if file == STDIN:
        yield sys.stdin.buffer
    else:
        with file.open("rb") as stream:
            yield stream


@dataclass(frozen=True, slots=True)
class _Source:
    file: Path
    stream: BinaryIO
    form: Format
    key_template: str | None
    rejects: Path | None

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return "<stdin>" if self.file == STDIN else str(self.file)

    def events(self, *, reject: Reject, advance: Advance, ignore: Advance) -> Iterator[Event]:
        """Read the events, as they are asked for."""
        if self.form is not Format.OSS_EVENT:
            return read_events(self.stream, self.form, reject=reject, advance=advance)
        from producer.cli.deliveries import read_deliveries  # noqa: PLC0415 - for this form alone

        template = self.key_template
        return read_deliveries(self.stream, reject=reject, advance=advance, ignore=ignore, key_template=template)


def _enqueue_file(client: "Client", source: _Source, batch_size: int, *, wait: float | None, as_json: bool) -> int:
    from producer.cli.progress import show_progress  # noqa: PLC0415 - rich is slow to import

    ignored = 0

    def ignore(number: int) -> None:
        nonlocal ignored
        ignored += number

    with (
        show_progress(source.file.stat().st_size if source.file.is_file() else None) as bar,
        open_rejections(source.rejects, source=source.name, tell=bar.note) as rejections,
    ):
        events = source.events(reject=rejections, advance=bar.read, ignore=ignore)
        try:
            result = client.enqueue_many(
                events, batch_size=batch_size, progress=bar.enqueued, wait=wait, waiting=bar.waiting
            )
        except KeyboardInterrupt:
            complain(f"interrupted; enqueued until then: {count(bar.events, 'event')}")
            raise
        except InvalidMessage as error:
            raise InvalidMessage(f"{source.name}: {error}") from None
    counts = {"events": result.events, "batches": result.batches, "rejected": rejections.count}
    unknown = ignored if source.form is Format.OSS_EVENT else None
    _summarize(**counts, ignored=unknown, rejects=source.rejects, as_json=as_json)
    return rejections.count


def _summarize(
    *,
    events: int,
    batches: int,
    rejected: int,
    as_json: bool,
    ignored: int | None = None,
    rejects: Path | None = None,
) -> None:
    if as_json:
        told = {"events": events, "batches": batches, "rejected": rejected}
        print_json(told if ignored is None else {**told, "ignored": ignored})
    else:
        where = f", see {rejects}" if rejects is not None else ""
        left_out = f"; {count(rejected, 'line')} left out{where}" if rejected else ""
        others = f"; {count(ignored, 'event')} of no picture" if ignored else ""
        typer.echo(f"enqueued {count(events, 'event')} in {count(batches, 'message')}{left_out}{others}")
