"""The stack: real Valkey, real Milvus, the OSS stand-in and workers, in one folder."""

import os
import signal
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from devstack import environment, identity, milvus, readiness, shutdown, state, supervision
from devstack.certificates import Certificates
from devstack.errors import StackError
from devstack.folder import Folder
from devstack.guard import Guard
from devstack.identity import ProcessId
from devstack.plan import Plan, Workers, make_worker, ports_of, require_platform
from devstack.ports import reserve
from devstack.programs import SERVICES, Kind, Program
from devstack.state import DEFAULT_BUCKET, DEFAULT_REGION, State
from devstack.supervision import AT_REST, Supervisor
from worker.adapters.milvus import accounts

# How often a program that was killed may end again before it is ready: two of them can depend on each other.
_COMES_BACK: Final = 3
# It takes the kernel a second to take down a Milvus.
_KILLED_SECONDS: Final = 15.0

__all__ = ["Stack", "Workers"]


class Stack:
    """A development stack in a folder of its own.

    It runs until it is told to stop, whether or not the process that started it does: any process may take it up again
    by the folder. As a context manager it stops with the block, even if that ends by `kill -9`. Data, credentials and,
    where they are still free, ports stay the same from one run to the next.

        with Stack(folder, services=("valkey",)) as stack:
            redis.Redis.from_url(stack.env["LOOKALIKE_BROKER_URL"]).ping()

    Args:
        directory: where everything is kept.
        services: which of valkey, milvus and oss to start.
        workers: which workers to start; None for none.
        bucket: the bucket of the OSS stand-in.
        region: what its signatures name.
        valkey_password: None lets everyone on this machine in.
        secure: Redis and Milvus have TLS and a user for each role. The Redis is the system's: the wheel's has no TLS.
        start_seconds: how long anything may take until it is ready.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        services: Sequence[str] = SERVICES,
        workers: Workers | None = None,
        bucket: str = DEFAULT_BUCKET,
        region: str = DEFAULT_REGION,
        valkey_password: str | None = None,
        secure: bool = False,
        start_seconds: float = 120.0,
    ) -> None:
        self.directory = Path(directory).absolute()
        self._folder = Folder(self.directory)
        self._plan = Plan(
            tuple(Kind(service) for service in services), workers, bucket, region, valkey_password, secure
        )
        self._start_seconds = start_seconds
        self._guard: Guard | None = None

    def __enter__(self) -> Self:
        self._guard = Guard.over(self.directory)
        try:
            self.up()
        except BaseException:
            self._guard.dismiss()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()
        if self._guard is not None:
            self._guard.dismiss()

    @property
    def env_file(self) -> Path:
        """The file for `set -a; . env`."""
        return self._folder.env_file

    @property
    def env(self) -> dict[str, str]:
        """The variables that a shell or a worker needs."""
        return environment.variables(self._state())

    def env_of(self, role: str) -> dict[str, str]:
        """The variables of a role of a secure stack, one of `acl.ROLES`."""
        return environment.variables(self._state(), role)

    @property
    def is_up(self) -> bool:
        """Whether its supervisord runs."""
        known = self._folder.state()
        return known is not None and known.is_running

    @property
    def ports(self) -> dict[str, int]:
        """What for, and which."""
        return self._state().ports

    @property
    def programs(self) -> dict[str, Program]:
        """What it runs, by name."""
        return self._state().programs

    def log(self, name: str) -> Path:
        """Where a program's output goes."""
        return supervision.log_of(self.directory, name)

    def up(self) -> bool:
        """Start whatever does not run yet, and wait until all of it is ready.

        Returns:
            Whether anything had to be started.

        Raises:
            StackError: a precondition is missing, or something does not become ready. Then it is down again, if it was.
        """
        require_platform()
        with self._folder.locked():
            known = self._folder.state() or State(socket=state.socket_in(self.directory))
            was_up = known.is_running and Supervisor(known.socket).answers()
            if not was_up:
                shutdown.sweep(known)
                self._plan.begin(self.directory, known)
            try:
                return self._complete(known, was_up=was_up)
            except BaseException:
                if not was_up:
                    self._end(known)
                raise

    def down(self) -> bool:
        """Stop everything: workers, which finish what they have begun, then services, then supervisord.

        Returns:
            Whether anything ran.
        """
        if self._folder.state() is None:
            return False
        with self._folder.locked():
            return self._end(self._state())

    def start(self, *names: str) -> None:
        """Start programs that were stopped, and wait until they are ready."""
        supervisor = self._supervisor()
        for name in self._known(names):
            supervisor.start(name)
        self.wait_ready(*names)

    def stop(self, *names: str) -> None:
        """Stop programs, each in its own way, and wait until they have ended. They stay stopped."""
        shutdown.stop(self._supervisor(), self._known(names))

    def restart(self, *names: str) -> None:
        """Stop programs, start them again, and wait until they are ready."""
        self.stop(*names)
        self.start(*names)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to the process of a program; after SIGKILL, wait until that is gone.

        Supervisord starts a program again when its process ends.

        Returns:
            The process that got the signal.
        """
        pid = self.pid(name)
        target = ProcessId.of(pid)
        if target is not None:
            wait = _KILLED_SECONDS if number == signal.SIGKILL else 0
            identity.send(target, number, seconds=wait)
        return pid

    def pid(self, name: str) -> int:
        """Find the process of a program.

        Raises:
            StackError: it does not run.
        """
        self._known([name])
        pid = self._supervisor().programs()[name].pid
        if not pid:
            raise StackError(f"{name} does not run")
        return pid

    def wait_ready(self, *names: str) -> None:
        """Wait until programs, or all of them, are ready; those that were killed come back."""
        known = self._state()
        chosen = self._known(names) if names else known.programs
        self._wait(known, self._supervisor(), chosen.values(), deaths=_COMES_BACK)

    def add_workers(
        self,
        queue: str,
        *,
        processes: int = 1,
        concurrency: int = 16,
        variables: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Start more worker processes on a queue, until the stack goes down.

        Args:
            queue: `ingest`, `search` or any other.
            processes: how many.
            concurrency: threads in each.
            variables: settings for these workers only.

        Returns:
            The names of the new programs.
        """
        with self._folder.locked():
            known = self._state()
            supervisor = self._supervisor()
            taken = sum(name.startswith(queue) for name in known.programs)
            added = {}
            for number in range(taken + 1, taken + 1 + processes):
                worker = make_worker(f"{queue}{number}", queue, concurrency, self.directory, variables)
                added[worker.name] = worker
            known.programs |= added
            self._folder.write(known)
            for name in added:
                supervisor.add(name)
            try:
                for name in added:
                    supervisor.start(name)
                self._wait(known, supervisor, added.values())
            except BaseException:
                shutdown.stop(supervisor, added)
                raise
            self._remember_processes(known, supervisor)
            return list(added)

    def _state(self) -> State:
        known = self._folder.state()
        if known is None:
            raise StackError(f"there is no stack in {self.directory}: it was never started")
        return known

    def _supervisor(self) -> Supervisor:
        known = self._state()
        if not known.is_running:
            raise StackError(f"the stack in {self.directory} is not up")
        return Supervisor(known.socket)

    def _known(self, names: Collection[str]) -> dict[str, Program]:
        known = self.programs
        if unknown := [name for name in names if name not in known]:
            raise StackError(f"the stack has no {', '.join(unknown)}; it has {', '.join(known)}")
        return {name: known[name] for name in names}

    def _complete(self, known: State, *, was_up: bool) -> bool:
        there = self._supervisor().programs() if was_up else {}
        missing = [name for name in self._plan.names() if name not in there]
        needed = [port for name in missing for port in ports_of(name)]
        with reserve(needed, known.ports) as chosen:
            known.ports |= chosen
            for name in missing:  # services first: the others are told where they are
                known.programs[name] = self._plan.make(name, self.directory, known)
            self._folder.write(known)
            supervisor = self._supervisor() if was_up else self._launch(known)
            if was_up:
                for name in known.programs.keys() - there.keys():
                    supervisor.add(name)
            at_rest = [name for name, info in supervisor.programs().items() if info.state in AT_REST]
            for services in (True, False):
                wave = [program for program in known.programs.values() if program.kind.is_service == services]
                for program in wave:
                    supervisor.start(program.name)
                self._wait(known, supervisor, wave)
                if services:
                    self._admit(known)
        self._remember_processes(known, supervisor)
        return bool(at_rest)

    def _admit(self, known: State) -> None:
        """Give Milvus' root a password, and make the workers' user, where that was not done yet."""
        if known.certificates is not None and Kind.MILVUS in known.programs:
            accounts.admit(
                environment.variables(known)["LOOKALIKE_MILVUS_URI"],
                Certificates(known.certificates).authority,
                root_password=known.passwords[milvus.password_name(milvus.ROOT)],
                user=milvus.USER,
                user_password=known.passwords[milvus.password_name(milvus.USER)],
            )

    def _launch(self, known: State) -> Supervisor:
        given = environment.for_programs(os.environ, environment.variables(known)) | {identity.MARK: known.stack_id}
        supervisor = Supervisor.launch(self._folder.config_file, known.socket, given)
        known.supervisor = ProcessId.of(supervisor.pid())
        self._folder.write(known)
        return supervisor

    def _wait(self, known: State, supervisor: Supervisor, chosen: Collection[Program], *, deaths: int = 0) -> None:
        with closing(readiness.Probe(known.ports, environment.variables(known))) as probe:
            readiness.wait(
                supervisor, chosen, probe, directory=self.directory, seconds=self._start_seconds, deaths=deaths
            )

    def _remember_processes(self, known: State, supervisor: Supervisor) -> None:
        found = {name: ProcessId.of(info.pid) for name, info in supervisor.programs().items() if info.pid}
        known.processes = {name: process for name, process in found.items() if process is not None}
        self._folder.write(known)

    def _end(self, known: State) -> bool:
        ran = known.is_running
        if ran and (supervisor := Supervisor(known.socket)).answers():
            shutdown.stop_all(supervisor, known)
        swept = shutdown.sweep(known)
        state.forget_socket(self.directory, known.socket)
        return ran or swept
