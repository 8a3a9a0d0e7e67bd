"""What a stack remembers in its folder between runs: identity, ports, credentials, programs."""

import os
import secrets
import tempfile
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from devstack.errors import StackError
from devstack.identity import ProcessId
from devstack.private import write_private
from devstack.programs import Program

# A socket's path has 108 bytes in sockaddr_un, one of them its end. Supervisord binds `<path>.<pid>` and links it.
MAX_SOCKET_BYTES: Final = 107 - len(".4194304")
DEFAULT_BUCKET: Final = "pictures"
DEFAULT_REGION: Final = "cn-hangzhou"


class State(BaseModel):
    """The contents of state.json.

    Attributes:
        socket: where supervisord listens.
        stack_id: marks the stack's processes.
        access_key_id: made at the first start.
        access_key_secret: made at the first start.
        bucket: the bucket of the OSS stand-in.
        region: what signatures name.
        valkey_password: None lets everyone on this machine in.
        flower_password: made at the first start.
        certificates: the folder of those of a secure stack, whose Redis and Milvus have TLS and users.
        passwords: of those users, made at the first start of a secure stack.
        ports: what for, and which.
        supervisor: the supervisord that was started last.
        programs: what it runs, in the order in which it was added.
        processes: the processes of the programs, as far as they are known.
    """

    model_config = ConfigDict(validate_assignment=True)

    socket: Path
    stack_id: str = Field(default_factory=lambda: secrets.token_hex(16))
    access_key_id: str = Field(default_factory=lambda: f"LTAI{secrets.token_hex(10)}")
    access_key_secret: str = Field(default_factory=lambda: secrets.token_urlsafe(24))
    bucket: str = DEFAULT_BUCKET
    region: str = DEFAULT_REGION
    valkey_password: str | None = None
    flower_password: str = Field(default_factory=lambda: secrets.token_urlsafe(12))
    certificates: Path | None = None
    passwords: dict[str, str] = {}
    ports: dict[str, int] = {}
    supervisor: ProcessId | None = None
    programs: dict[str, Program] = {}
    processes: dict[str, ProcessId] = {}

    @property
    def is_running(self) -> bool:
        """Whether its supervisord runs."""
        return self.supervisor is not None and self.supervisor.alive()


def load(file: Path) -> State | None:
    """Read the state; None where there is none.

    Raises:
        StackError: the file cannot be read or understood.
    """
    try:
        return State.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StackError(f"{file} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise StackError(f"{file} is not a state of this version of Lookalike; remove it to begin anew") from error


def save(file: Path, state: State) -> None:
    """Write the state, whole or not at all, for its owner only: it holds the credentials."""
    write_private(file, state.model_dump_json(indent=2))


def socket_in(directory: Path) -> Path:
    """Say where supervisord listens: in the stack's folder, or a short private one where its path is too long."""
    socket = directory / "supervisor.sock"
    if len(os.fsencode(socket)) <= MAX_SOCKET_BYTES:
        return socket
    return Path(tempfile.mkdtemp(prefix="lookalike-", dir="/tmp")) / "supervisor.sock"


def forget_socket(directory: Path, socket: Path) -> None:
    """Remove a socket that nobody listens on any more, with the folder that `socket_in` made for it."""
    socket.unlink(missing_ok=True)
    if socket.parent != directory and socket.parent.name.startswith("lookalike-"):
        socket.parent.rmdir()
