"""A temporary folder of a process and those that it forks. It goes with them, or when the next one is made."""

import atexit
import os
import shutil
import tempfile
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Final

_LOCK: Final = "lock"
_locks: Final[list[int]] = []


def make(prefix: str, parent: Path | None = None) -> Path:
    """Make the folder, which is removed when this process ends, and remove those whose processes were killed.

    Args:
        prefix: what its name begins with, as do those of others of its kind.
        parent: where it is made; the folder for temporary files unless given.
    """
    parent = Path(tempfile.gettempdir()) if parent is None else parent
    for other in parent.glob(f"{prefix}*"):
        _remove_what_nobody_holds(other)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    _hold(folder)
    atexit.register(_remove, folder, os.getpid())
    return folder


def _hold(folder: Path) -> None:
    # It has its name only when it is locked: there is no moment at which another would take the folder for left.
    new = folder / f"{_LOCK}.new"
    lock = os.open(new, os.O_CREAT | os.O_RDWR, 0o600)
    flock(lock, LOCK_EX)
    new.rename(folder / _LOCK)
    _locks.append(lock)  # until the last process that has inherited it ends


def _remove_what_nobody_holds(folder: Path) -> None:
    try:
        lock = os.open(folder / _LOCK, os.O_RDONLY)
    except OSError:
        return  # somebody else's, or one that is being made or removed
    try:
        flock(lock, LOCK_EX | LOCK_NB)
    except OSError:
        return
    else:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
