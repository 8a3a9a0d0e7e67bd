"""The client that a command works with."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import typer

if TYPE_CHECKING:
    from producer.client import Client


def open_client(ctx: typer.Context, *, one_trace: bool = True) -> "Client":
    """Make the client from the environment, or with the factory that whoever runs the program gave as `obj`.

    Args:
        ctx: of the command.
        one_trace: all that the command does until it ends is in one trace: that of `TRACEPARENT`, or a new one.

    Raises:
        SettingsError: naming the variable, and how to set it.
    """
    from producer.client import Client  # noqa: PLC0415 - Celery is slow to import, and `--help` does not need it

    if one_trace:
        ctx.with_resource(_traced(ctx.command_path))
    if ctx.obj is not None:
        return cast("Client", ctx.obj())
    with explained():
        return Client.from_env()


@contextmanager
def _traced(command: str) -> Iterator[None]:
    from producer import tracing  # noqa: PLC0415 - `--help` needs no spans

    tracing.configure("lookalike-cli")
    with tracing.traced(os.environ.get("TRACEPARENT")), tracing.span(command):
        yield


@contextmanager
def explained() -> Iterator[None]:
    """Tell of a variable that is missing or wrong how to set it."""
    from producer.settings import SettingsError  # noqa: PLC0415 - pydantic is slow to import

    try:
        yield
    except SettingsError as error:
        raise SettingsError(
            f"{error}. After `lookalike up --detach --dir D`, `set -a; . D/env; set +a` sets what is needed"
        ) from None
