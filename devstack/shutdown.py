"""How a stack ends: in order, and also when its supervisord has been killed."""

import signal
import time
from collections.abc import Mapping
from typing import Final

from devstack import identity
from devstack.errors import StackError
from devstack.identity import ProcessId
from devstack.programs import Program
from devstack.state import State
from devstack.supervision import AT_REST, Supervisor

_POLL_SECONDS: Final = 0.05
_GRACE_SECONDS: Final = 15.0


def stop(supervisor: Supervisor, chosen: Mapping[str, Program]) -> None:
    """Stop programs at once, and wait until all have ended; supervisord kills those that take too long."""
    if not chosen:
        return
    for name in chosen:
        supervisor.stop(name)
    deadline = time.monotonic() + max(program.stop_seconds for program in chosen.values()) + _GRACE_SECONDS
    while any(supervisor.programs()[name].state not in AT_REST for name in chosen):
        if time.monotonic() > deadline:
            raise StackError(f"{', '.join(chosen)} cannot be stopped")
        time.sleep(_POLL_SECONDS)


def stop_all(supervisor: Supervisor, known: State) -> None:
    """Stop workers, which finish what they have begun, then services, then supervisord."""
    for services in (False, True):
        stop(supervisor, {name: one for name, one in known.programs.items() if one.kind.is_service == services})
    supervisor.shutdown()
    if known.supervisor is not None:
        identity.wait_ended([known.supervisor], _GRACE_SECONDS)


def sweep(known: State) -> bool:
    """End what is left of a stack without its supervisord: that first, if it hangs, workers next, services last.

    Returns:
        Whether anything was left.
    """
    left = _left(known)
    # Whatever belongs to no program is supervisord, which would start again what is ended.
    _end({process: signal.SIGKILL for process, name in left.items() if name not in known.programs})
    for services in (False, True):
        chosen = {
            process: known.programs[name]
            for process, name in left.items()
            if name in known.programs and known.programs[name].kind.is_service == services
        }
        _end(
            {process: signal.Signals[f"SIG{program.stop_signal}"] for process, program in chosen.items()},
            seconds=max((program.stop_seconds for program in chosen.values()), default=0),
        )
    return bool(left)


def _left(known: State) -> dict[ProcessId, str]:
    """Find what runs, and the program that it belongs to: what was written down, and what bears the stack's mark.

    What was written down is not enough, since supervisord starts a program again under another pid.
    """
    found = {process: name for name, process in known.processes.items() if process.alive()}
    if known.supervisor is not None and known.supervisor.alive():
        found[known.supervisor] = ""
    by_pid = {process.pid: process for process in found}
    return found | {by_pid.get(process.pid, process): name for process, name in identity.marked(known.stack_id).items()}


def _end(signals: Mapping[ProcessId, int], *, seconds: float = _GRACE_SECONDS) -> None:
    identity.end(signals, seconds=seconds)
