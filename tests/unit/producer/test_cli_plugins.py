"""Commands of other packages join the program; one that cannot be loaded harms no other."""

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest
import typer
from typer.testing import CliRunner, Result

from producer.cli import plugins, program

MODULE = "a_package_with_commands"


def greet(name: str, *, loud: bool = False) -> None:
    """Greet somebody."""
    typer.echo(f"hello {name}".upper() if loud else f"hello {name}")


def needs_more() -> None:
    """Import only when called."""
    __import__("a_module_that_is_missing")


@pytest.fixture(autouse=True)
def _declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Declare one command that works, a group, and several that do not."""
    module = ModuleType(MODULE)
    group = typer.Typer(help="A group.")
    group.command("one")(greet)
    group.command("two")(greet)
    vars(module).update(greet=greet, needs_more=needs_more, group=group)
    monkeypatch.setitem(sys.modules, MODULE, module)
    homes = {
        "greet": f"{MODULE}:greet",
        "group": f"{MODULE}:group",
        "late": f"{MODULE}:needs_more",
        "absent": "a_package_that_is_missing.cli:absent",
        "unwritten": f"{MODULE}:unwritten",
        "status": "a_package_that_is_missing.cli:status",
    }
    declared = [EntryPoint(name, home, plugins.GROUP) for name, home in homes.items()]
    monkeypatch.setattr(plugins, "entry_points", lambda *, group: declared if group == plugins.GROUP else [])
    plugins._declared.cache_clear()  # noqa: SLF001 - what is installed does not change while a program runs
    yield
    plugins._declared.cache_clear()  # noqa: SLF001 - as above


def run(*arguments: str) -> Result:
    """Run the program."""
    return CliRunner().invoke(program, list(arguments))


def test_a_function_becomes_a_command() -> None:
    """With its arguments and options."""
    result = run("greet", "world", "--loud")
    assert (result.exit_code, result.stdout) == (0, "HELLO WORLD\n")


def test_a_typer_becomes_a_group() -> None:
    """With its commands."""
    assert run("group", "two", "world").stdout == "hello world\n"


@pytest.mark.parametrize(
    "arguments",
    [["absent"], ["absent", "--detach", "--dir", "D"], ["absent", "anything"], ["unwritten"], ["late"]],
)
def test_a_command_that_is_not_installed_says_what_to_install(arguments: list[str]) -> None:
    """Whatever its arguments were, and whether its package or something that it imports later is missing."""
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith(
        f"lookalike: `lookalike {arguments[0]}` needs lookalike[dev]: pip install 'lookalike[dev]'"
    )
    assert result.stderr.count("\n") == 1


def test_help_lists_what_is_not_installed() -> None:
    """So that people find it."""
    page = run("--help")
    assert page.exit_code == 0
    assert "Greet somebody." in page.stdout
    assert page.stdout.count("(Not installed: needs lookalike[dev].)") == 2
    assert run("absent", "--help").exit_code == 0


def test_our_own_commands_come_first() -> None:
    """Another package cannot put its command in the place of ours."""
    assert "how long the queues are" in run("status", "--help").stdout


def test_our_own_faults_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that our own command lacks is a fault, and not an extra to install."""
    monkeypatch.setitem(sys.modules, "producer.client", None)
    assert isinstance(run("status").exception, ModuleNotFoundError)
