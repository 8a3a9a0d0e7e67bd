"""The program: its commands, those of other packages, and how it ends."""

from importlib.metadata import version
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from contract import LookalikeError
from producer.cli import (
    audit,
    backfill,
    dead,
    delete,
    duplicates,
    enqueue,
    evaluate,
    exporter,
    listen,
    plugins,
    reindex,
    search,
    status,
)
from producer.cli.output import complain

_FAILED: Final = 1
_HELP: Final = """Finds the pictures in your OSS bucket that look alike.

Enqueue the keys of uploaded objects; workers download them, hash them and index \
the hashes; then search for what looks like a picture.

\b
  lookalike up --detach --dir .devstack    # starts everything on this machine
  set -a; . .devstack/env; set +a          # says where it is
  lookalike enqueue photos/1.jpg --meta-id 1 --company-id 7
  lookalike search --key photos/1.jpg --company-id 7
  lookalike status

Addresses come from the environment: LOOKALIKE_BROKER_URL, and where they differ \
from it LOOKALIKE_RESULT_BACKEND_URL and LOOKALIKE_LEDGER_URL.
"""


class _Program(TyperGroup):
    """A group that also has the commands of the entry points, and tells errors in one line."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Name our own commands, then those of other packages."""
        own = super().list_commands(ctx)
        return own + [name for name in plugins.names() if name not in own]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Find a command; one of another package is loaded only when it is asked for."""
        return super().get_command(ctx, cmd_name) or plugins.load(cmd_name)

    def invoke(self, ctx: Any) -> Any:
        """Run a command. What Lookalike raises on purpose needs no traceback."""
        try:
            return super().invoke(ctx)
        except LookalikeError as error:
            complain(error)
            raise typer.Exit(_FAILED) from None
        except ModuleNotFoundError as error:
            if ctx.invoked_subcommand in self.commands:
                raise
            complain(plugins.NotInstalled.because(ctx.invoked_subcommand, error))
            raise typer.Exit(_FAILED) from None


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(version("lookalike"))
        raise typer.Exit


program = typer.Typer(
    cls=_Program, help=_HELP, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False
)


@program.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    pass


program.command(epilog=enqueue.EXAMPLES)(enqueue.enqueue)
program.command(epilog=backfill.EXAMPLES)(backfill.backfill)
program.command(epilog=audit.EXAMPLES)(audit.audit)
program.command(epilog=search.EXAMPLES)(search.search)
program.command(epilog=listen.EXAMPLES)(listen.listen)
program.command()(delete.delete)
program.command(epilog=duplicates.EXAMPLES)(duplicates.duplicates)
program.command(epilog=reindex.EXAMPLES)(reindex.reindex)
program.command(epilog=evaluate.EXAMPLES)(evaluate.evaluate)
program.command(epilog=status.EXAMPLES)(status.status)
program.command(epilog=exporter.EXAMPLES)(exporter.exporter)
program.add_typer(dead.group, name="dead")


def main() -> None:
    """Run the program on the arguments of the process."""
    program(prog_name="lookalike")
