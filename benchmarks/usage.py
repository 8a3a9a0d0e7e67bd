"""What the programs of a stack use: processor time and memory, as the kernel counts them."""

import re
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from string import digits
from typing import Final

import psutil

from devstack import Stack
from devstack.errors import StackError

_MEGABYTE: Final = 1e6
# "Reset the peak resident set size": proc(5), /proc/pid/clear_refs.
_RESET_PEAK: Final = "5"


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and of its children, those that have ended too; in steps of 10 ms."""
    process = psutil.Process(pid)
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system
            if one is process:
                total += times.children_user + times.children_system
    return total


def cpu_by_program(stack: Stack) -> Mapping[str, float]:
    """Processor time of what the stack runs now, seconds. Workers of one queue are counted together."""
    found: dict[str, float] = defaultdict(float)
    for name in stack.programs:
        with suppress(StackError, psutil.NoSuchProcess):
            found[name.rstrip(digits)] += cpu_seconds(stack.pid(name))
    return found


def resident(pid: int) -> float:
    """Memory that a process has now, MB."""
    return float(psutil.Process(pid).memory_info().rss) / _MEGABYTE


def peak(pid: int) -> float:
    """The most memory that a process has had, MB, since it began or `reset_peak`."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    if found is None:
        raise ProcessLookupError(f"process {pid} has ended")
    return int(found[1]) * 1024 / _MEGABYTE


def reset_peak(pid: int) -> None:
    """Forget the peak of a process.

    Raises:
        PermissionError: the process belongs to another user.
    """
    Path(f"/proc/{pid}/clear_refs").write_text(_RESET_PEAK)


def disk(folder: Path) -> float:
    """Space that the files in a folder take, MB."""
    total = 0
    for file in folder.rglob("*"):
        with suppress(OSError):
            found = file.lstat()
            total += found.st_blocks * 512
    return total / _MEGABYTE
