"""Whether what was started really answers."""

import http.client
import time
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, assert_never

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from devstack import milvus, valkey
from devstack.errors import ServiceDied, StackError
from devstack.programs import FLOWER, Kind, Program, node_name
from devstack.supervision import Info, Supervisor, log_of
from producer.app import make_app
from producer.settings import ClientSettings

if TYPE_CHECKING:
    from celery import Celery

_ANSWER_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.1
_FAILED: Final = frozenset({"FATAL", "STOPPED", "STOPPING", "UNKNOWN"})


class Probe:
    """Asks the programs of a stack whether they are ready.

    Args:
        ports: what for, and which.
        env: the variables of the stack.
    """

    def __init__(self, ports: Mapping[str, int], env: Mapping[str, str]) -> None:
        self._ports = ports
        self._env = env
        self._app: Celery | None = None  # made for the first worker that is asked

    def is_ready(self, program: Program) -> bool:
        """Whether a program does its work now."""
        match program.kind:
            case Kind.VALKEY:
                return valkey.is_ready(self._env["LOOKALIKE_LEDGER_URL"])
            case Kind.MILVUS:
                return milvus.is_ready(self._ports)
            case Kind.OSS:
                return _answers(self._ports[Kind.OSS], "/")
            case Kind.FLOWER:
                return _answers(self._ports[FLOWER], "/healthcheck")
            case Kind.BEAT:
                return True  # it answers nobody; that it runs is all there is to see
            case Kind.WORKER:
                return self._pings(node_name(program.name))
            case _:
                assert_never(program.kind)

    def _pings(self, node: str) -> bool:
        if self._app is None:
            self._app = make_app(
                "devstack",
                ClientSettings(
                    broker_url=self._env["LOOKALIKE_BROKER_URL"],
                    result_backend_url=self._env["LOOKALIKE_RESULT_BACKEND_URL"],
                    ledger_url=self._env["LOOKALIKE_LEDGER_URL"],
                ),
            )
        try:
            return bool(self._app.control.ping(destination=[node], timeout=_ANSWER_SECONDS))
        except (OperationalError, OSError, RedisError):
            return False

    def close(self) -> None:
        """Close the connections."""
        if self._app is not None:
            self._app.close()


def wait(
    supervisor: Supervisor,
    programs: Collection[Program],
    probe: Probe,
    *,
    directory: Path,
    seconds: float,
    deaths: int = 0,
) -> None:
    """Wait until all of these programs are ready.

    Raises:
        ServiceDied: one ended in the meantime, more often than `deaths` allows.
        StackError: one is still not ready after so many seconds.
    """
    deadline = time.monotonic() + seconds
    pids: dict[str, int] = {}
    ends: Counter[str] = Counter()
    waiting = {program.name: program for program in programs}
    while waiting:
        known = supervisor.programs()
        for name, program in tuple(waiting.items()):
            info = known[name]
            ends[name] += _ended(info, pids)
            if info.state in _FAILED or ends[name] > deaths:
                raise ServiceDied.with_log(name, log_of(directory, name))
            if info.pid and probe.is_ready(program):
                del waiting[name]
        if not waiting:
            return
        if time.monotonic() > deadline:
            names = ", ".join(waiting)
            raise StackError(f"not ready after {seconds:g} s: {names}. Their logs are in {directory / 'logs'}")
        time.sleep(_POLL_SECONDS)


def _ended(info: Info, pids: dict[str, int]) -> bool:
    """Whether the process that was there at the last look has gone, though another may have taken its place."""
    before = pids.get(info.name, 0)
    pids[info.name] = info.pid
    return before not in {0, info.pid}


def _answers(port: int, path: str) -> bool:
    """Whether an HTTP server answers, whatever it says."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    else:
        return True
    finally:
        connection.close()
