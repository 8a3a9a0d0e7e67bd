"""The client that a command works with."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import typer

if TYPE_CHECKING:
    from producer.client import Client


def open_client(ctx: typer.Context) -> "Client":
    """Make the client from the environment, or with the factory that whoever runs the program gave as `obj`.

    Raises:
        SettingsError: naming the variable, and how to set it.
    """
    from producer.client import Client  # noqa: PLC0415 - Celery is slow to import, and `--help` does not need it

    if ctx.obj is not None:
        return cast("Client", ctx.obj())
    with explained():
        return Client.from_env()


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
