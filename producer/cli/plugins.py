"""Commands of other packages, from the entry points of the group `lookalike.commands`.

An entry point is a function that Typer can serve, or a Typer for a group of commands. Where its package needs an extra
that is not installed, the command stays in the list and says what to install; the others work.
"""

from collections.abc import Collection
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, Self

import typer

from contract import LookalikeError

GROUP: Final = "lookalike.commands"


class NotInstalled(LookalikeError):
    """A command belongs to an extra that is not installed."""

    @classmethod
    def because(cls, name: str, error: Exception) -> Self:
        """Say which part is missing, and what to install."""
        return cls(f"`lookalike {name}` needs lookalike[dev]: pip install 'lookalike[dev]' ({error})")


def names() -> Collection[str]:
    """The commands that other packages declare."""
    return _declared().keys()


def load(name: str) -> Any:
    """Load a command, as Typer would have it in its group; None where no package declares it."""
    declared = _declared().get(name)
    if declared is None:
        return None
    try:
        command = declared.load()
    except (ImportError, AttributeError) as error:
        return _stand_in(name, NotInstalled.because(name, error))
    if not isinstance(command, typer.Typer):
        return _serve(name, command)
    group = typer.main.get_command(command)
    group.name = name
    return group


@cache
def _declared() -> dict[str, EntryPoint]:
    return {declared.name: declared for declared in entry_points(group=GROUP)}


def _serve(name: str, function: Any, **settings: Any) -> Any:
    served = typer.Typer(add_completion=False)
    served.command(name, **settings)(function)
    return typer.main.get_command(served)


def _stand_in(name: str, error: NotInstalled) -> Any:
    def explain() -> None:
        raise error

    anything = {"allow_extra_args": True, "ignore_unknown_options": True}
    # The backslash keeps rich from taking [dev] for a style.
    return _serve(name, explain, help="(Not installed: needs lookalike\\[dev].)", context_settings=anything)
