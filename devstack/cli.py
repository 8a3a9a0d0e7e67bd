"""The commands `up`, `down` and `demo`, which join the program `lookalike` through its entry points."""

import json
import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from devstack.errors import ServiceDied
from devstack.plan import Workers, metrics_port
from devstack.programs import Kind, Program
from devstack.stack import Stack

_POLL_SECONDS: Final = 0.5
_INTERRUPTED: Final = 130  # what shells say of Ctrl-C
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What tells a reader where a program is; workers have no address.
_ADDRESS: Final = {
    Kind.VALKEY: "LOOKALIKE_BROKER_URL",
    Kind.MILVUS: "LOOKALIKE_MILVUS_URI",
    Kind.OSS: "LOOKALIKE_OSS_ENDPOINT",
    Kind.FLOWER: "LOOKALIKE_FLOWER_URL",
}

Dir = Annotated[Path, typer.Option("--dir", metavar="D", file_okay=False, help="Folder that keeps everything.")]


def up(
    *,
    directory: Dir = Path(".devstack"),
    detach: Annotated[bool, typer.Option("--detach", help="Return when all is ready; `down` stops it.")] = False,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Worker processes for uploads; one a core unless given.")
    ] = None,
    concurrency: Annotated[int, typer.Option(metavar="N", min=1, help="Threads in each of them.")] = 16,
    no_workers: Annotated[bool, typer.Option("--no-workers", help="Start the services only.")] = False,
    no_flower: Annotated[bool, typer.Option("--no-flower", help="Start no Flower, which shows tasks.")] = False,
    secure: Annotated[
        bool, typer.Option("--secure", help="With TLS and a user for each role; needs the system's redis-server.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Start Valkey, Milvus, an OSS stand-in and workers on this machine.

    Everything is kept in one folder and found there by the next `up`. `set -a; . D/env; set +a` tells a shell where it
    all is. Without --detach it runs until Ctrl-C.
    """
    wanted = None if no_workers else Workers(workers, concurrency, flower=not no_flower)
    stack = Stack(directory, workers=wanted, secure=secure)
    ports = stack.ports if stack.env_file.exists() else {}
    ready = started = False
    with _interruptible() as interrupted:
        try:
            began = time.monotonic()
            started = _start(stack)
            ready = True
            moved = sorted(name for name, port in stack.ports.items() if ports.get(name, port) != port)
            _print_summary(stack, seconds=time.monotonic() - began, started=started, moved=moved, as_json=as_json)
            if started and not detach:
                _wait(stack, interrupted)
        except KeyboardInterrupt:
            if ready and (detach or not started):
                raise  # it stays up
            _stop(stack)
            raise typer.Exit(0 if ready else _INTERRUPTED) from None


def down(
    *,
    directory: Dir = Path(".devstack"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Stop what `up` started: workers, which finish what they have begun, then the services."""
    stack = Stack(directory)
    with Console(stderr=True).status("Stopping"):
        stopped = stack.down()
    if as_json:
        typer.echo(json.dumps({"dir": str(stack.directory), "stopped": stopped}))
    else:
        typer.echo("Stopped." if stopped else f"Nothing runs in {stack.directory}.")


def demo(
    *,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", metavar="D", file_okay=False, help="Folder of the stack; a temporary one unless given."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running; needs --dir.")] = False,
) -> None:
    """Start everything, ingest real pictures, search, show what was found, stop."""
    import devstack.demo  # noqa: PLC0415 - it needs the photos of scikit-image, which `up` and `down` do not

    devstack.demo.run(Console(), directory=directory, keep=keep)


def _start(stack: Stack) -> bool:
    try:
        with Console(stderr=True).status("Starting Valkey, Milvus, OSS and workers"):
            return stack.up()
    except ServiceDied as error:
        typer.echo(f"lookalike: {error}", err=True)  # with the lines of its log, which the program would join
        raise typer.Exit(1) from None


def _print_summary(stack: Stack, *, seconds: float, started: bool, moved: list[str], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_summary(stack, seconds=seconds, started=started, moved=moved)))
        return
    console = Console()
    how = f"up, after {seconds:.1f} s" if started else "up already"
    typer.echo(f"The stack in {stack.directory} is {how}.")
    table = Table(box=None, pad_edge=False)
    for column in ("program", "where", "pid", "log"):
        table.add_column(column, overflow="fold")
    for name, found in _summary(stack, seconds=seconds, started=started, moved=moved)["programs"].items():
        table.add_row(name, found["address"] or "", str(found["pid"]), escape(found["log"]))
    # A pipe has no width; nothing is folded there.
    console.print(table, width=None if console.is_terminal else 400, crop=False)
    if moved:
        typer.echo(f"Other ports than before, which were taken: {', '.join(moved)}. Read the variables anew.")
    typer.echo(f"For a shell:  set -a; . {shlex.quote(str(stack.env_file))}; set +a")


def _summary(stack: Stack, *, seconds: float, started: bool, moved: list[str]) -> dict[str, Any]:
    env = stack.env
    return {
        "dir": str(stack.directory),
        "env": str(stack.env_file),
        "started": started,
        "seconds": round(seconds, 1),
        "moved": moved,
        "programs": {name: _program(stack, program, env) for name, program in stack.programs.items()},
    }


def _program(stack: Stack, program: Program, env: dict[str, str]) -> dict[str, Any]:
    address = env.get(_ADDRESS.get(program.kind, ""))
    return {
        "address": _public(address) if address else _metrics_url(stack, program),
        "pid": stack.pid(program.name),
        "log": str(stack.log(program.name)),
    }


def _metrics_url(stack: Stack, program: Program) -> str | None:
    port = stack.ports.get(metrics_port(program.name))
    return None if port is None else f"http://127.0.0.1:{port}/metrics"


def _public(address: str) -> str:
    """An address without its password."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def _wait(stack: Stack, interrupted: Event) -> None:
    console = Console(stderr=True)
    console.print("Ctrl-C stops it.")
    while stack.is_up:
        # What a handler raises is lost where it meets a finalizer, which Python lets raise nothing.
        if interrupted.wait(_POLL_SECONDS):
            raise KeyboardInterrupt
    console.print("It was stopped by another.")


def _stop(stack: Stack) -> None:
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)  # once is enough: now it has to end cleanly
    with Console(stderr=True).status("Stopping"):
        stack.down()


@contextmanager
def _interruptible() -> Iterator[Event]:
    """Let SIGTERM and SIGHUP do what Ctrl-C does. The event says that one came."""
    interrupted = Event()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _ENDING}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
