"""`python -m tests.packages`: builds the packages, and tries them in clean environments of each Python that is here."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

import typer
from rich.console import Console

from devstack import Stack
from tests.packages import tried

ROOT: Final = Path(__file__).parents[2]
PYTHONS: Final = ("3.11", "3.12", "3.13")
_TRIED: Final = Path(tried.__file__)
_UV: Final = str(Path(sys.executable).parent / "uv")
_MINUTES: Final = 20

program = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Failed(Exception):
    """A package is not what it should be; the message says why."""


@program.command()
def packages(
    *,
    python: Annotated[
        list[str] | None, typer.Option(help="Only this version, such as 3.12; may be given again.")
    ] = None,
    tests: Annotated[bool, typer.Option("--tests", help="Run the unit tests on each too; takes minutes.")] = False,
) -> None:
    """Build sdist and wheel, and see that client and worker work where nothing else is installed.

    In a clean environment of each Python from 3.11 to 3.13 that is on this machine: the client alone, with the hashes
    of requirements/client.txt, has no Pillow, pymilvus or oss2, shows its help and enqueues; the worker, with
    requirements/worker.txt, hashes as the reference does, and answers a search.
    """
    console = Console(width=120)
    missing = []
    try:
        with TemporaryDirectory(prefix="lookalike-packages-") as folder:
            wheel = build(console, Path(folder) / "dist")
            with Stack(Path(folder) / "stack", workers=None) as stack:
                for version in python or PYTHONS:
                    interpreter = find(version)
                    if interpreter is None:
                        missing.append(version)
                        continue
                    _try(console, version, interpreter, wheel, stack, Path(folder), tests=tests)
    except Failed as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from None
    if missing:
        console.print(f"Not on this machine, and not tried: Python {', '.join(missing)}", style="yellow")
    console.print("All of it holds.", style="green")


def build(console: Console, folder: Path) -> Path:
    """Build both packages, look into them, and give the wheel."""
    run(_UV, "build", "--no-build-isolation", "--quiet", "--out-dir", str(folder), str(ROOT))
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    held = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        *("celeryconfig.py", "contract/py.typed", "producer/py.typed", "worker/py.typed", "devstack/py.typed"),
        *(f"producer/pages/{page.name}" for page in (ROOT / "producer" / "pages").glob("*.html")),
        *(f"{package}/__init__.py" for package in ("contract", "producer", "worker", "devstack")),
    }
    if wanted - held:
        raise Failed(f"{wheel.name} lacks {', '.join(sorted(wanted - held))}")
    if stray := sorted(name for name in held if name.split("/")[0] in {"tests", "benchmarks", "docs", "deploy"}):
        raise Failed(f"{wheel.name} holds {', '.join(stray[:5])}")
    if not any(name.startswith("worker/core/_fasthash.") and name.endswith(".so") for name in held):
        raise Failed(f"{wheel.name} lacks the fast hash: is there a C compiler?")
    if "-abi3-" not in wheel.name:
        raise Failed(f"{wheel.name} is not for every Python from 3.11 on")
    with tarfile.open(sdist) as archive:
        if not any(name.endswith("worker/core/_fasthash.c") for name in archive.getnames()):
            raise Failed(f"{sdist.name} lacks the source of the fast hash")
    console.print(f"{wheel.name}: {len(held)} files, {wheel.stat().st_size / 1024:.0f} KB; {sdist.name}")
    return wheel


def find(version: str) -> str | None:
    """Where a Python of this version is: on the path, or among those that pyenv has made."""
    if (on_path := shutil.which(f"python{version}")) and "shims" not in on_path:
        return on_path
    made = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return next((str(python) for python in sorted(made.glob(f"{version}.*/bin/python"))), None)


def _try(
    console: Console, version: str, interpreter: str, wheel: Path, stack: Stack, folder: Path, *, tests: bool
) -> None:
    for what in ("client", "worker"):
        home = folder / f"{what}-{version}"
        python = environment(interpreter, home, [what], [str(wheel)])
        # Not this checkout: the folder of the script is the first in which Python looks.
        script = shutil.copy(_TRIED, home / "tried.py")
        console.print(run(python, str(script), what, stack=stack.env, cwd=home).strip(), markup=False, highlight=False)
        shutil.rmtree(home)
    if tests:
        home = folder / f"tests-{version}"
        python = environment(interpreter, home, ["dev"], ["--editable", str(ROOT)])
        said = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit", cwd=ROOT)
        console.print(f"Python {version}: unit tests: {said.strip().splitlines()[-1]}", markup=False)
        shutil.rmtree(home)


def environment(interpreter: str, home: Path, locks: Sequence[str], extra: Sequence[str]) -> str:
    """Make an environment of what a lock names, and give its Python."""
    run(interpreter, "-m", "venv", str(home))
    python = str(home / "bin" / "python")
    quiet = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")
    run(python, *quiet, "--require-hashes", "-r", str(ROOT / "requirements" / "build.txt"))
    for lock in locks:
        file = str(ROOT / "requirements" / f"{lock}.txt")
        run(python, *quiet, "--require-hashes", "--no-build-isolation", "-r", file)
    run(python, *quiet, "--no-build-isolation", *extra)
    return python


def run(*command: str, stack: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a command to its end, and give what it prints.

    Raises:
        Failed: it did not end well; with what it said.
    """
    done = subprocess.run(
        command,
        env={**os.environ, **(stack or {})},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=_MINUTES * 60,
        check=False,
    )
    if done.returncode != 0:
        raise Failed(f"{' '.join(command[:6])} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


if __name__ == "__main__":
    program(prog_name="python -m tests.packages")
