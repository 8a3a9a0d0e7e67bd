"""The demo: the main job on real parts, with real photos, and a check that it was done right."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from contract import LookalikeError, Match, UploadEvent
from devstack.errors import StackError
from devstack.pictures import CHANGES, copies, photos
from devstack.stack import Stack, Workers
from producer import Client
from worker.adapters.oss import OssObjectStore
from worker.core.hashing import create_vector
from worker.settings import WorkerSettings

ORIGINAL: Final = "original"
# Copies of the demo lie within 3 bits of their original, its other photos 17 bits and more away.
MAX_DISTANCE: Final = 10
_SETTLE_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.1
# Each company has eight of the twelve photos, and so four of them are both companies'.
_COMPANIES: Final[Mapping[int, slice]] = {1: slice(0, 8), 2: slice(4, 12)}
_ASKED_BY: Final = {"resized": "key", "recompressed": "file", "cropped": "hash", "brightened": "file"}


class DemoFailed(LookalikeError):
    """The demo ran, and what it found is not what it should have found."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A picture of the demo.

    Attributes:
        event: the object, and whose picture it is.
        photo: the file name of the photo that it shows.
        change: what was done to the photo; `ORIGINAL` for nothing.
        body: the bytes.
    """

    event: UploadEvent
    photo: str
    change: str
    body: bytes


Found = Mapping[Upload, Sequence[Match]]


def run(console: Console, *, directory: Path | None = None, keep: bool = False) -> None:
    """Start a stack, ingest, search, show, check, and stop.

    The stack's variables are set in this process, for the SDK reads its credentials there.

    Args:
        console: where it is shown.
        directory: where the stack is; a temporary folder unless given.
        keep: leave the stack running; needs `directory`.

    Raises:
        DemoFailed: a copy did not find its original, or a search found what it must not.
        StackError: the stack does not start.
    """
    if keep and directory is None:
        raise StackError("a stack that is to be kept needs a folder: --dir D")
    with _stack(directory, keep=keep) as stack:
        _start(console, stack)
        console.print(
            f"Flower shows the tasks at {stack.env['LOOKALIKE_FLOWER_URL']}/tasks while it runs, to "
            f"{stack.env['FLOWER_BASIC_AUTH']}.",
            highlight=False,
        )
        os.environ.update(stack.env)
        main_job(console)
        if keep:
            console.print(
                f"It stays up. `set -a; . {escape(str(stack.env_file))}; set +a` tells a shell where it is, "
                f"`lookalike down --dir {escape(str(stack.directory))}` stops it."
            )


def main_job(console: Console) -> None:
    """Upload, ingest, search, show and check, on the stack that the environment names.

    Raises:
        DemoFailed: a copy did not find its original, or a search found what it must not.
    """
    uploads = list(make_uploads())
    _upload(console, uploads)
    with Client.from_env() as client:
        _ingest(console, client, uploads)
        found = _search(client, uploads)
    _show(console, uploads, found)
    check(uploads, found)
    console.print(
        f"[green]All {len(found)} copies found their original, and nothing else within {MAX_DISTANCE} bits; "
        "nothing crossed between the companies.[/green]"
    )


def make_uploads() -> Iterator[Upload]:
    """The photos of each company, and the copies that somebody made of them."""
    names = list(photos())
    for company_id, owned in _COMPANIES.items():
        meta_id = 0
        for name in names[owned]:
            body = photos()[name]
            stem = Path(name).stem
            pictures = [(ORIGINAL, name, body)]
            pictures += [(copy.change, f"{stem}-{copy.change}.jpg", copy.body) for copy in copies(body)]
            for change, file, content in pictures:
                meta_id += 1
                key = f"uploads/{company_id}/{meta_id}/{file}"
                event = UploadEvent(object_key=key, meta_id=meta_id, company_id=company_id)
                yield Upload(event, name, change, content)


def check(uploads: Sequence[Upload], found: Found) -> None:
    """See that every copy found its original, and nothing that is another photo's or another company's.

    Raises:
        DemoFailed: naming each search that did not.
    """
    photo_of = {(upload.event.company_id, upload.event.meta_id): upload for upload in uploads}
    wrong = []
    for copy, matches in found.items():
        if any(match["company_id"] != copy.event.company_id for match in matches):
            wrong.append(f"{copy.event.object_key} found a picture of another company")
            continue
        near = [
            photo_of[match["company_id"], match["meta_id"]] for match in matches if match["distance"] <= MAX_DISTANCE
        ]
        if not any(one.change == ORIGINAL and one.photo == copy.photo for one in near):
            wrong.append(f"{copy.event.object_key} did not find its original")
        if others := sorted({one.photo for one in near} - {copy.photo}):
            wrong.append(f"{copy.event.object_key} found {', '.join(others)}")
    if wrong:
        raise DemoFailed("; ".join(wrong))


@contextmanager
def _stack(directory: Path | None, *, keep: bool) -> Iterator[Stack]:
    """A stack that goes down in the end, unless it is kept."""
    with TemporaryDirectory(prefix="lookalike-demo-") as temporary:
        stack = Stack(directory or Path(temporary), workers=Workers(processes=1))
        try:
            yield stack
        finally:
            if not keep:
                stack.down()


def _start(console: Console, stack: Stack) -> None:
    began = time.monotonic()
    with console.status("Starting Valkey, Milvus, the OSS stand-in, workers and Flower"):
        stack.up()
    console.print(
        f"Valkey, Milvus, the OSS stand-in, workers and Flower are up after {time.monotonic() - began:.0f} s."
    )


def _upload(console: Console, uploads: Sequence[Upload]) -> None:
    store = OssObjectStore.from_settings(WorkerSettings.from_env())
    try:
        for upload in uploads:
            store.put(upload.event.object_key, upload.body)
    finally:
        store.close()
    size = sum(len(upload.body) for upload in uploads) / 1e6
    console.print(f"Uploaded {len(uploads)} pictures of {len(_COMPANIES)} companies, {size:.1f} MB.")


def _ingest(console: Console, client: Client, uploads: Sequence[Upload]) -> None:
    began = time.monotonic()
    client.enqueue_many((upload.event for upload in uploads), batch_size=10)
    with Progress(
        TextColumn("Ingesting"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    ) as progress:
        bar = progress.add_task("ingest", total=len(uploads))
        while outstanding := client.outstanding():
            progress.update(bar, completed=len(uploads) - outstanding)
            if time.monotonic() - began > _SETTLE_SECONDS:
                raise DemoFailed(f"{outstanding} events are still outstanding after {_SETTLE_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)
        progress.update(bar, completed=len(uploads))
    if dead := [f"{letter.event}: {letter.error}" for letter in client.dead_letters()]:
        raise DemoFailed("; ".join(dead))


def _search(client: Client, uploads: Sequence[Upload]) -> Found:
    """Ask for every copy, by its key, its file or its hash; one call a company."""
    found: dict[Upload, Sequence[Match]] = {}
    for company_id in _COMPANIES:
        asked = [one for one in uploads if one.event.company_id == company_id and one.change != ORIGINAL]
        answer = client.search_many(
            map(_query, asked), company_id=company_id, limit=len(uploads), fresh=True, collapse=False
        )
        found |= zip(asked, answer["results"], strict=True)
    return found


def _query(upload: Upload) -> dict[str, Any]:
    match _ASKED_BY[upload.change]:
        case "key":
            return {"object_key": upload.event.object_key}
        case "file":
            return {"image": upload.body}
        case _:
            return {"vector": create_vector(upload.body)}


def _show(console: Console, uploads: Sequence[Upload], found: Found) -> None:
    """One table a company: how far each copy is from its original, and how far the nearest other photo is."""
    for company_id in _COMPANIES:
        ours = {upload.event.meta_id: upload for upload in uploads if upload.event.company_id == company_id}
        title = f"Company {company_id}: bits between a copy and its original"
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        table.add_column("photo", no_wrap=True)
        for change in CHANGES:
            table.add_column(f"{change}\nby {_ASKED_BY[change]}", justify="right", no_wrap=True)
        table.add_column("nearest\nother photo", justify="right", no_wrap=True)
        for original in (one for one in ours.values() if one.change == ORIGINAL):
            searches = {copy.change: hits for copy, hits in found.items() if _is_copy(copy, original)}
            others = [
                hit["distance"]
                for hits in searches.values()
                for hit in hits
                if hit["company_id"] == company_id and ours[hit["meta_id"]].photo != original.photo
            ]
            bits = [_distance(searches[change], original) for change in CHANGES]
            table.add_row(Path(original.photo).stem, *bits, str(min(others)))
        console.print(table)


def _is_copy(one: Upload, original: Upload) -> bool:
    return (one.event.company_id, one.photo) == (original.event.company_id, original.photo)


def _distance(hits: Sequence[Match], original: Upload) -> str:
    return next((str(hit["distance"]) for hit in hits if hit["meta_id"] == original.event.meta_id), "not found")
