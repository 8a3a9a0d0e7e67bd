"""`lookalike audit`."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Final, Self, TextIO

import typer

from producer.cli.options import AsJson, KeyTemplateOption, Timeout
from producer.cli.output import complain, count, print_json, print_table
from producer.cli.session import open_client
from producer.cli.settling import settle
from producer.cli.showing import NotWritten

if TYPE_CHECKING:
    from contract import UploadEvent
    from producer.auditing import AuditCounts, Difference

EXAMPLES: Final = """\b
Examples:
  lookalike audit                                   # counts what differs, and writes lookalike-audit/missing.jsonl, ...
  lookalike audit --prefix uploads/ --out lists     # only of some objects, and into another folder
  lookalike audit --fix --yes                       # and mends it
  lookalike audit --check --no-lists --json         # for a monitor: exit code 1 where anything differs
"""
_MEANS: Final = {
    "missing": "the object's picture is not indexed",
    "changed": "it is indexed as it was before, or by an earlier object",
    "orphaned": "it is indexed, and its object is gone",
    "unmapped": "nobody's picture: see LOOKALIKE_KEY_TEMPLATE",
    "dead": "given up: see `lookalike dead list`",
}
_PHASES: Final = {"rows": "reading the collection", "objects": "reading the bucket"}


def audit(
    ctx: typer.Context,
    *,
    prefix: Annotated[str, typer.Option(metavar="P", help="Only objects whose keys begin so.")] = "",
    profile: Annotated[
        str | None, typer.Option("--hash", metavar="PROFILE", help="Whose collection; else the workers' first.")
    ] = None,
    key_template: KeyTemplateOption = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Ask OSS for every object's checksum, not only where the times raise doubt.")
    ] = False,
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", file_okay=False, help="Write a list of each kind of difference into this folder."),
    ] = Path("lookalike-audit"),
    no_lists: Annotated[bool, typer.Option("--no-lists", help="Write no lists, only count.")] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Enqueue what is missing or changed, remove what is orphaned.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before that.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="After --fix, wait until no event is outstanding, of whoever.")
    ] = True,
    check: Annotated[bool, typer.Option("--check", help="End with exit code 1 where anything differs.")] = False,
    work_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            exists=True,
            help="Where the temporary file may be, of some 150 bytes for each row; else the system's place.",
        ),
    ] = None,
    timeout: Timeout = 60.0,
    as_json: AsJson = False,
) -> None:
    """Compare the bucket with the collection, and mend what differs.

    Counts what is missing, changed, orphaned, of nobody, or given up. Memory stays the same however many there are.
    Nothing is removed before a worker has seen that its object is gone.
    """
    from producer.cli.progress import show_progress  # noqa: PLC0415 - rich is slow to import

    with ExitStack() as stack:
        client = stack.enter_context(open_client(ctx))
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="lookalike-audit-"))) if no_lists else out
        lists = stack.enter_context(_Lists(folder))
        with show_progress(None) as bar:
            counts = client.audit(
                prefix,
                profile=profile,
                key_template=key_template,
                deep=deep,
                work_dir=work_dir,
                found=lists.add,
                progress=lambda phase, done: bar.doing(_PHASES[phase], done, None),
                timeout=timeout,
            )
        lists.close()
        fixed = None
        if fix and counts.fixable and (yes or _agreed(counts)):
            with show_progress(counts.fixable) as bar:
                result = client.enqueue_many(lists.events(), progress=bar.enqueued, waiting=bar.waiting)
                fixed = result.events
                if wait:
                    settle(client, bar)
        _tell(counts, fixed, None if no_lists else out, as_json=as_json)
    if check and any(counts.differences.values()):
        raise typer.Exit(1)


def _agreed(counts: "AuditCounts") -> bool:
    """Ask whoever sits at the terminal."""
    from producer.auditing import DifferenceKind as Kind  # noqa: PLC0415 - for those who fix

    found = counts.differences
    enqueue, remove = found[Kind.MISSING] + found[Kind.CHANGED], found[Kind.ORPHANED]
    question = f"Enqueue {count(enqueue, 'event')} and remove {count(remove, 'row')} whose objects are gone?"
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        complain("nothing was mended: nobody said yes. --yes does not ask")
        raise typer.Exit(1) from None


@contextmanager
def _written(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotWritten(f"{folder}: {error.strerror or error}") from error


class _Lists:
    """A file for each kind of difference, one a line."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, TextIO] = {}

    def __enter__(self) -> Self:
        with _written(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            for kind in _MEANS:
                self._files[kind] = self._path(kind).open("w", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, difference: "Difference") -> None:
        """Write one down."""
        with _written(self._folder):
            self._files[difference.kind.value].write(json.dumps(difference.as_dict()) + "\n")

    def close(self) -> None:
        """All are written."""
        with _written(self._folder):
            for file in self._files.values():
                file.close()

    def events(self) -> Iterator["UploadEvent"]:
        """The events that mend what is written down: first what is gone, then what is to be indexed."""
        from producer.auditing import Difference, DifferenceKind  # noqa: PLC0415 - for those who fix

        for kind in (DifferenceKind.ORPHANED, DifferenceKind.CHANGED, DifferenceKind.MISSING):
            with self._path(kind.value).open(encoding="utf-8") as file:
                for line in file:
                    told = json.loads(line)
                    event = Difference(kind, told["object_key"], told["company_id"], told["meta_id"]).event()
                    if event is not None:
                        yield event

    def _path(self, kind: str) -> Path:
        return self._folder / f"{kind}.jsonl"


def _tell(counts: "AuditCounts", fixed: int | None, out: Path | None, *, as_json: bool) -> None:
    if as_json:
        print_json(counts.as_dict() if fixed is None else {**counts.as_dict(), "fixed": fixed})
        return
    typer.echo(
        f"{count(counts.objects, 'object')} and {count(counts.rows, 'row')} compared; {count(counts.looked, 'object')} "
        f"looked at closer; {counts.superseded:,} superseded by later objects of their pictures"
    )
    rows = [[kind.value, f"{number:,}", _MEANS[kind.value]] for kind, number in counts.differences.items()]
    print_table(["what", ">how many", "which is to say"], rows)
    if out is not None:
        typer.echo(f"The lists are in {out}")
    if fixed is not None:
        typer.echo(f"enqueued {count(fixed, 'event')}")
    elif counts.fixable:
        typer.echo("--fix mends what is missing, changed or orphaned")
