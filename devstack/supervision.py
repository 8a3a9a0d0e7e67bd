"""Supervisord: its configuration, and control over its socket."""

import http.client
import os
import shlex
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from supervisor.xmlrpc import Faults

from devstack.errors import StackError, tail
from devstack.programs import Program

# What supervisord says of a program that has no process and gets none.
AT_REST: Final = frozenset({"STOPPED", "EXITED", "FATAL"})
_START_SECONDS: Final = 15.0
# Everything that is asked is answered at once; nothing waits for a program.
_ANSWER_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.05
_SERVICE_PRIORITY: Final = 100
_WORKER_PRIORITY: Final = 200


@dataclass(frozen=True, slots=True)
class Info:
    """What supervisord knows of a program.

    Attributes:
        name: the program.
        state: supervisord's word for it: STOPPED STARTING RUNNING BACKOFF STOPPING EXITED FATAL.
        pid: its process, 0 where none runs.
    """

    name: str
    state: str
    pid: int


def render(directory: Path, listen: Path, programs: Iterable[Program]) -> str:
    """Render supervisord.conf.

    All programs restart when they end by themselves, however often. None starts with supervisord: the stack starts them
    in its own order, all services at once. The priorities are for the case that supervisord is told to stop by others.
    """
    head: dict[str, dict[str, object]] = {
        "unix_http_server": {"file": listen, "chmod": "0700"},
        "supervisord": {
            "logfile": log_of(directory, "supervisord"),
            "logfile_maxbytes": "5MB",
            "logfile_backups": 1,
            "pidfile": directory / "supervisord.pid",
            "childlogdir": directory / "logs",
            "directory": directory,
            "umask": "077",
        },
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface",
        },
        "supervisorctl": {"serverurl": f"unix://{listen}"},
    }
    if os.getuid() == 0:
        head["supervisord"]["user"] = "root"  # supervisord warns a root that did not say so
    sections = head | {f"program:{program.name}": _section(directory, program) for program in programs}
    return "\n".join(
        "".join([f"[{name}]\n", *(f"{key}={_value(str(value))}\n" for key, value in options.items())])
        for name, options in sections.items()
    )


def log_of(directory: Path, program: str) -> Path:
    """Where a program's output goes."""
    return directory / "logs" / f"{program}.log"


class Supervisor:
    """A supervisord that listens on a socket.

    Every method raises `StackError` where it does not answer, or refuses.
    """

    def __init__(self, listen: Path) -> None:
        self._socket = listen

    @classmethod
    def launch(cls, config: Path, listen: Path, environment: Mapping[str, str]) -> "Supervisor":
        """Start supervisord as a daemon of its own session, and wait until it answers."""
        command = [sys.executable, "-P", "-m", "supervisor.supervisord", "-c", str(config)]
        done = subprocess.run(
            command, env=dict(environment), capture_output=True, text=True, check=False, timeout=_START_SECONDS
        )
        if done.returncode != 0:
            raise StackError(f"supervisord does not start: {done.stderr.strip() or done.stdout.strip()}")
        supervisor = cls(listen)
        deadline = time.monotonic() + _START_SECONDS
        while not supervisor.answers():
            if time.monotonic() > deadline:
                said = "\n".join(tail(log_of(config.parent, "supervisord")))
                raise StackError(f"supervisord does not answer on {listen}:\n{said}")
            time.sleep(_POLL_SECONDS)
        return supervisor

    def answers(self) -> bool:
        """Whether supervisord can be asked."""
        try:
            self._call("getState")
        except StackError:
            return False
        return True

    def pid(self) -> int:
        """The process of supervisord itself."""
        return int(self._call("getPID"))

    def programs(self) -> dict[str, Info]:
        """All programs, by their names."""
        return {
            info["name"]: Info(info["name"], info["statename"], info["pid"]) for info in self._call("getAllProcessInfo")
        }

    def add(self, program: str) -> None:
        """Take a program from the configuration, which has been written anew."""
        self._call("reloadConfig")
        self._call("addProcessGroup", program, unless=Faults.ALREADY_ADDED)

    def start(self, program: str) -> None:
        """Start a program, unless it runs, without waiting for it."""
        self._call("startProcess", program, False, unless=Faults.ALREADY_STARTED)

    def stop(self, program: str) -> None:
        """Ask a program to stop, if it runs, without waiting for it."""
        self._call("stopProcess", program, False, unless=Faults.NOT_RUNNING)

    def shutdown(self) -> None:
        """Ask supervisord to end, without waiting for it."""
        self._call("shutdown")

    def _call(self, method: str, *arguments: object, unless: int | None = None) -> Any:
        # A connection for each call: they are cheap on a socket, and none is left over from a supervisord that is gone.
        with closing(_Transport(self._socket)) as transport:
            proxy = xmlrpc.client.ServerProxy("http://localhost", transport=transport)
            try:
                return getattr(proxy.supervisor, method)(*arguments)
            except xmlrpc.client.Fault as fault:
                if fault.faultCode == unless:
                    return None
                raise StackError(f"supervisord refuses {method}{arguments}: {fault.faultString}") from fault
            except (OSError, xmlrpc.client.Error) as error:
                raise StackError(f"supervisord does not answer on {self._socket}: {error}") from error


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket. Supervisor's own has no timeout, and waits for ever on a supervisord that hangs."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_ANSWER_SECONDS)
        self.sock.connect(str(self._path))


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = _Connection(self._path)
        self._connection = host, connection  # what `close` closes
        return connection


def _section(directory: Path, program: Program) -> dict[str, object]:
    return {
        "command": shlex.join(program.command),
        "directory": program.directory,
        "environment": ",".join(f"{name}={_quoted(value)}" for name, value in program.environment.items()),
        "priority": _SERVICE_PRIORITY if program.kind.is_service else _WORKER_PRIORITY,
        "autostart": "false",
        "autorestart": "true",
        "startsecs": 1,
        "startretries": 1_000_000,
        "stopsignal": program.stop_signal,
        "stopwaitsecs": program.stop_seconds,
        "stopasgroup": "true",
        "killasgroup": "true",
        "redirect_stderr": "true",
        # Supervisord 4.3 expands this one twice.
        "stdout_logfile": str(log_of(directory, program.name)).replace("%", "%%"),
        "stdout_logfile_maxbytes": "20MB",
        "stdout_logfile_backups": 1,
    }


def _value(text: str) -> str:
    """Escape a value for supervisord's dialect of INI, where `%` expands and ` ;` or ` #` begins a comment."""
    if not text.isprintable() or any(mark in text for mark in (" ;", " #")):
        raise StackError(f"{text!r} cannot be written into supervisord.conf: use another folder")
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    """Quote a variable's value. Supervisord knows no escapes in quotes."""
    quote = next((mark for mark in "\"'" if mark not in text), None)
    if quote is None or text.strip("\"'") != text:
        raise StackError(f"{text!r} cannot be given to a program: it has quotes in it")
    return f"{quote}{text}{quote}"
