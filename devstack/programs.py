"""What the stack runs: a command for each service, worker and monitor."""

import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

from celery.utils.nodenames import gethostname
from pydantic import BaseModel, ConfigDict

from contract import QUARANTINE_QUEUE
from devstack import acl, milvus, milvus_binary, valkey
from devstack.certificates import Certificates
from devstack.private import write_private

FLOWER: Final = "flower"
FLOWER_USER: Final = "lookalike"
BEAT: Final = "beat"
# -P: a folder or file in the working directory never takes the place of an installed package.
_PYTHON: Final = (sys.executable, "-P", "-m")


class Kind(StrEnum):
    """What a program is, which says how to see that it is ready. Services start before workers and stop after them."""

    VALKEY = "valkey"
    MILVUS = "milvus"
    OSS = "oss"
    WORKER = "worker"
    FLOWER = "flower"
    BEAT = "beat"

    @property
    def is_service(self) -> bool:
        """Whether workers need it."""
        return self in SERVICES


SERVICES: Final = (Kind.VALKEY, Kind.MILVUS, Kind.OSS)


class Program(BaseModel):
    """A program that supervisord runs.

    Attributes:
        name: unique in the stack, also the name of its log.
        kind: what it is.
        command: the arguments, the executable first.
        directory: where it runs.
        environment: variables beside those of the stack.
        stop_signal: how it is asked to stop.
        stop_seconds: after so many it is killed.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    kind: Kind
    command: tuple[str, ...]
    directory: Path
    environment: dict[str, str] = {}
    stop_signal: str = "TERM"
    stop_seconds: int = 10


def make_valkey(
    home: Path, port: int, password: str | None, certificates: Certificates | None, passwords: Mapping[str, str]
) -> Program:
    """Write Valkey's configuration, and say how to run it. With certificates its users have these passwords."""
    home.mkdir(parents=True, exist_ok=True)
    config = home / "valkey.conf"
    secured, binary = None, valkey.binary() if certificates is None else valkey.binary_with_tls()
    if certificates is not None:
        secured = valkey.Secured(certificates, home / "users.acl")
        write_private(secured.users, acl.render(passwords, () if valkey.knows_setinfo(binary) else (acl.SETINFO,)))
    write_private(config, valkey.config(port=port, data_dir=home, password=password, secured=secured))
    return Program(
        name=Kind.VALKEY, kind=Kind.VALKEY, command=(str(binary), str(config)), directory=home, stop_seconds=30
    )


def make_milvus(home: Path, ports: Mapping[str, int], certificates: Certificates | None) -> Program:
    """Write Milvus's configuration, unpack it where that was not done, and say how to run it.

    It is killed, not asked: on SIGTERM, 2.3.5 stops its coordinators and then waits for them, 4 s in the best of cases
    and without an end within 600 s in the worst. Nothing is lost, because what it has acknowledged is in its log.
    """
    milvus.write_config(home, ports, certificates)
    binaries = milvus_binary.unpacked(home)
    return Program(
        name=Kind.MILVUS,
        kind=Kind.MILVUS,
        command=(str(binaries / "milvus"), "run", "standalone"),
        directory=home,
        environment=milvus.environment(binaries, ports),
        stop_signal="KILL",
    )


def make_oss(home: Path, port: int, bucket: str, region: str) -> Program:
    """Say how to run the OSS stand-in."""
    home.mkdir(parents=True, exist_ok=True)
    options = {"--host": "127.0.0.1", "--port": port, "--data": home, "--bucket": bucket, "--region": region}
    arguments = [str(part) for option in options.items() for part in option]
    return Program(name=Kind.OSS, kind=Kind.OSS, command=(*_PYTHON, "devstack.oss", *arguments), directory=home)


def make_worker(
    name: str, queue: str, concurrency: int, directory: Path, environment: Mapping[str, str] | None = None
) -> Program:
    """Say how to run a worker process of so many threads on a queue; in quarantine, of one child that may be killed."""
    pool = ("prefork", "-c", "1") if queue == QUARANTINE_QUEUE else ("threads", "-c", str(concurrency))
    command = ("celery", "-A", "worker", "worker", "-Q", queue, "-P", *pool)
    # A worker that talks to no other worker starts a second sooner.
    options = ("-n", f"{name}@%h", "-l", "info", "--without-mingle", "--without-gossip")
    return Program(
        name=name,
        kind=Kind.WORKER,
        command=(*_PYTHON, *command, *options),
        directory=directory,
        environment=dict(environment or {}),
        stop_seconds=30,
    )


def make_flower(port: int, directory: Path, environment: Mapping[str, str]) -> Program:
    """Say how to run Flower."""
    command = ("celery", "-A", "worker", "flower", "--address=127.0.0.1", f"--port={port}")
    return Program(
        name=FLOWER,
        kind=Kind.FLOWER,
        command=(*_PYTHON, *command),
        directory=directory,
        environment=dict(environment),
    )


def make_beat(directory: Path, environment: Mapping[str, str]) -> Program:
    """Say how to run Celery's beat, which has the ledger swept."""
    command = ("celery", "-A", "worker", "beat", "-l", "info")
    return Program(
        name=BEAT, kind=Kind.BEAT, command=(*_PYTHON, *command), directory=directory, environment=dict(environment)
    )


def node_name(worker: str) -> str:
    """Give the name under which a worker answers: Celery puts the host's name for %h."""
    return f"{worker}@{gethostname()}"
