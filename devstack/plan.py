"""What a stack is to run, as programs."""

import os
import platform
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import digits

from contract import INGEST_QUEUE, QUARANTINE_QUEUE, SEARCH_QUEUE
from devstack import environment, milvus, programs
from devstack.acl import MONITOR, PRODUCER, ROLES
from devstack.certificates import Certificates
from devstack.errors import StackError
from devstack.programs import BEAT, FLOWER, SERVICES, Kind, Program
from devstack.state import DEFAULT_BUCKET, DEFAULT_REGION, State, socket_in


@dataclass(frozen=True, slots=True)
class Workers:
    """Which workers to run. Celery's beat runs with them, and one worker for the quarantine.

    Attributes:
        processes: of the queue of uploads; one a core unless given.
        concurrency: threads in each of them.
        search_concurrency: threads in the one process for searches.
        flower: whether Flower watches them.
    """

    processes: int | None = None
    concurrency: int = 16
    search_concurrency: int = 4
    flower: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """What a stack is to run.

    Attributes:
        services: which of Valkey, Milvus and the OSS stand-in.
        workers: which workers; None for none.
        bucket: the bucket of the OSS stand-in.
        region: what its signatures name.
        valkey_password: None lets everyone on this machine in.
        secure: Redis and Milvus have TLS, and a user for each role.
    """

    services: tuple[Kind, ...] = SERVICES
    workers: Workers | None = None
    bucket: str = DEFAULT_BUCKET
    region: str = DEFAULT_REGION
    valkey_password: str | None = None
    secure: bool = False

    def names(self) -> list[str]:
        """The programs."""
        names = [service.value for service in self.services]
        if self.workers is not None:
            processes = cores() if self.workers.processes is None else self.workers.processes
            names += [f"{INGEST_QUEUE}{number}" for number in range(1, processes + 1)]
            names += [f"{QUARANTINE_QUEUE}1", f"{SEARCH_QUEUE}1"]
            names.append(BEAT)
            names += [FLOWER] if self.workers.flower else []
        return names

    def begin(self, directory: Path, known: State) -> None:
        """Forget what belonged to the last run only."""
        known.programs = {}
        known.processes = {}
        known.supervisor = None
        if not known.socket.parent.is_dir():
            known.socket = socket_in(directory)
        known.bucket = self.bucket
        known.region = self.region
        known.valkey_password = self.valkey_password
        known.certificates = directory / "tls" if self.secure else None
        if known.certificates is not None:
            Certificates(known.certificates).make()
            known.passwords = make_passwords() | known.passwords

    def make(self, name: str, directory: Path, known: State) -> Program:
        """Prepare a program: write its configuration, and say how to run it."""
        workers = self.workers or Workers()
        certificates = None if known.certificates is None else Certificates(known.certificates)
        match name:
            case Kind.VALKEY:
                return programs.make_valkey(
                    directory / name, known.ports[name], known.valkey_password, certificates, known.passwords
                )
            case Kind.MILVUS:
                return programs.make_milvus(directory / name, known.ports, certificates)
            case Kind.OSS:
                return programs.make_oss(directory / name, known.ports[name], known.bucket, known.region)
            case Kind.FLOWER:
                return programs.make_flower(known.ports[name], directory, of_role(known, MONITOR))
            case Kind.BEAT:
                return programs.make_beat(directory, {**of_role(known, PRODUCER), **_metrics(name, known)})
            case _:
                queue = name.rstrip(digits)
                threads = workers.search_concurrency if queue == SEARCH_QUEUE else workers.concurrency
                return make_worker(name, queue, threads, directory, _metrics(name, known))


def of_role(known: State, role: str) -> dict[str, str]:
    """The variables of a program that needs less than a worker, where the stack tells them apart."""
    return {} if known.certificates is None else environment.variables(known, role)


def make_passwords() -> dict[str, str]:
    """Make a password for each user of Redis and of Milvus."""
    users = (*ROLES, *map(milvus.password_name, (milvus.ROOT, milvus.USER)))
    return {user: secrets.token_urlsafe(24) for user in users}


def make_worker(
    name: str, queue: str, concurrency: int, directory: Path, variables: Mapping[str, str] | None = None
) -> Program:
    """Prepare a worker, with the variables of the caller's environment that tune workers, and then with these."""
    tuning = environment.tuning(os.environ) | dict(variables or {})
    return programs.make_worker(name, queue, concurrency, directory, tuning)


def ports_of(name: str) -> Sequence[str]:
    """Name the ports that a program needs."""
    match name:
        case Kind.MILVUS:
            return milvus.PORTS
        case Kind.VALKEY | Kind.OSS | Kind.FLOWER:
            return (name,)
        case _:
            return (metrics_port(name),)


def metrics_port(name: str) -> str:
    """Name the port where a worker, or beat, tells its figures."""
    return f"{name}_metrics"


def _metrics(name: str, known: State) -> Mapping[str, str]:
    """What has a program tell its figures; nothing where it was given no port for it."""
    port = known.ports.get(metrics_port(name))
    return {} if port is None else {"LOOKALIKE_METRICS_PORT": str(port)}


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0))


def require_platform() -> None:
    """Refuse to go on where the servers do not run.

    Raises:
        StackError: this is not Linux on x86-64.
    """
    found = (platform.system(), platform.machine())
    if found != ("Linux", "x86_64"):
        raise StackError(f"the stack's servers are for Linux x86-64; this is {' '.join(found)}. Use docker compose")
