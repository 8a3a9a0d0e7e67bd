"""The folder of a stack: what is where in it, and who may change it."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devstack import acl, environment, state, supervision
from devstack.errors import StackError
from devstack.private import write_private
from devstack.state import State

_PRIVATE: Final = 0o700


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of a stack.

    Attributes:
        path: where it is, an absolute path.
    """

    path: Path

    @property
    def env_file(self) -> Path:
        """The file for `set -a; . env`."""
        return self.path / "env"

    @property
    def config_file(self) -> Path:
        """What supervisord reads."""
        return self.path / "supervisord.conf"

    @property
    def _state_file(self) -> Path:
        return self.path / "state.json"

    def state(self) -> State | None:
        """Read what the stack remembers; None where it was never started."""
        return state.load(self._state_file)

    def write(self, known: State) -> None:
        """Write everything that follows from the state, and the state itself."""
        config = supervision.render(self.path, known.socket, known.programs.values())
        write_private(self.config_file, config)
        write_private(self.env_file, environment.render(environment.variables(known)))
        for role in acl.ROLES if known.certificates else ():
            of_role = self.env_file.with_name(f"env.{role}")
            write_private(of_role, environment.render(environment.variables(known, role)))
        state.save(self._state_file, known)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let one process at a time change the stack; others wait.

        Raises:
            StackError: the folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=_PRIVATE)
            (self.path / "logs").mkdir(exist_ok=True, mode=_PRIVATE)
            lock = (self.path / "lock").open("w")
        except OSError as error:
            raise StackError(f"{self.path} cannot be written: {error.strerror}") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
