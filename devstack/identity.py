"""Which process is ours: by pid and creation time, or by a mark in its environment. Never by its name."""

import signal
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final, Self

import psutil
from pydantic import BaseModel, ConfigDict

# Every process of a stack has the stack's id in this variable, and hands it down to its children.
MARK: Final = "LOOKALIKE_DEVSTACK_ID"
# Supervisord tells each program its name in this one.
_PROGRAM: Final = "SUPERVISOR_PROCESS_NAME"
# The clock that creation times are computed from may be set by a little. A pid does not come round again as fast.
_CLOCK_STEP: Final = 2.0
_POLL_SECONDS: Final = 0.02


class ProcessId(BaseModel):
    """A process, told from a later one that has the same pid.

    Attributes:
        pid: the process's number.
        created: when it was created, seconds since 1970.
    """

    model_config = ConfigDict(frozen=True)

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Identify the process that has this pid now; None where there is none."""
        try:
            return cls(pid=pid, created=psutil.Process(pid).create_time())
        except psutil.Error:
            return None

    def process(self) -> psutil.Process | None:
        """Find the process, if it still runs. A zombie has ended."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < _CLOCK_STEP
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None

    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process() is not None


def marked(stack_id: str) -> dict[ProcessId, str]:
    """Find the processes of a stack, and the program that each belongs to (none for supervisord itself).

    Children of a program bear its name. Zombies have ended, and other users' processes are none of ours.
    """
    found: dict[ProcessId, str] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            environment = process.environ()
            if environment.get(MARK) == stack_id and process.status() != psutil.STATUS_ZOMBIE:
                identity = ProcessId(pid=process.pid, created=process.create_time())
                found[identity] = environment.get(_PROGRAM, "")
    return found


def send(target: ProcessId, number: int, *, seconds: float) -> None:
    """Send a signal to a process, if it still runs, and wait so many seconds for it to end."""
    process = target.process()
    if process is not None:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)  # psutil looks at the creation time once more
        wait_ended([target], seconds)


def end(signals: Mapping[ProcessId, int], *, seconds: float) -> None:
    """Send each process its signal, and kill those that still run after so many seconds."""
    for target, number in signals.items():
        send(target, number, seconds=0)
    for target in wait_ended(signals, seconds):
        send(target, signal.SIGKILL, seconds=seconds)


def wait_ended(targets: Iterable[ProcessId], seconds: float) -> list[ProcessId]:
    """Wait until processes have ended; those that have not in time. One that nobody has reaped has ended."""
    deadline = time.monotonic() + seconds
    while (running := [target for target in targets if target.alive()]) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return running
