"""`python -m tests.compose`: runs docker-compose.yml for real, with images that stand in for those that it names."""

from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from tests.compose.engine import TrialError, engine, require_programs
from tests.compose.images import Docker
from tests.compose.trial import Trial

program = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@program.command()
def compose(
    *,
    docker: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="An engine that runs, for trials only; else one is started.", envvar="TRIAL_DOCKER"
        ),
    ] = None,
) -> None:
    """Bring docker-compose.yml up, ingest, search, scale to two ingest workers, kill one, and take it down.

    Our own image is built by its Dockerfile. Redis, etcd and Prometheus are Debian's, Milvus is that of the devstack,
    MinIO and Grafana only say that they are well. The exit code is 0 only if all of it holds.
    """
    console = Console(width=120)
    try:
        require_programs()
        with TemporaryDirectory(prefix="lookalike-compose-") as folder:
            work = Path(folder)
            with nullcontext(docker) if docker else engine(work / "docker") as address:
                Trial(console, Docker(address), work).run()
    except TrialError as error:
        console.print(f"It does not hold: {error}", style="red", markup=False)
        raise typer.Exit(1) from None
    console.print("All of it holds.", style="green")


if __name__ == "__main__":
    program(prog_name="python -m tests.compose")
