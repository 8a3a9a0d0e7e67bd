"""The folder of a process and its children goes with them, however they end."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker import shared_folder

_PROCESS = """
import os, sys, time
from pathlib import Path
from worker import shared_folder

folder = shared_folder.make("some-", Path(sys.argv[1]))
if sys.argv[2] == "forks" and os.fork() == 0:
    os.close(1)
    sys.stdin.read()
    os._exit(0)
print(folder, flush=True)
if sys.argv[2] != "ends":
    time.sleep(60)
"""


@contextmanager
def started(parent: Path, does: str) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """A process that makes a folder; killed in the end."""
    command = [sys.executable, "-c", _PROCESS, str(parent), does]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_it_goes_when_its_process_ends(tmp_path: Path) -> None:
    """Without anything left."""
    with started(tmp_path, "ends") as (process, folder):
        assert process.wait(30) == 0
    assert folder.parent == tmp_path
    assert not list(tmp_path.iterdir())


def test_that_of_a_killed_process_goes_with_the_next(tmp_path: Path) -> None:
    """And not that of one that lives, nor what is called otherwise, nor one that has no lock yet."""
    (tmp_path / "other").mkdir()
    (tmp_path / "some-new").mkdir()
    with started(tmp_path, "is killed") as (_, left):
        assert left.is_dir()
    assert left.is_dir()
    with started(tmp_path, "lives") as (_, held):
        own = shared_folder.make("some-", tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {"other", "some-new", held.name, own.name}


def test_a_child_holds_it_too(tmp_path: Path) -> None:
    """What a killed parent's children still write into stays as long as they do."""
    with started(tmp_path, "forks") as (parent, folder):
        parent.kill()
        parent.wait(30)
        shared_folder.make("some-", tmp_path)
        assert folder.is_dir()
