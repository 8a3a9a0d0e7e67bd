"""A Docker engine of our own, for machines where none runs: Debian's, with a folder of its own for everything."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.2
# What `apt-get install docker.io docker-compose debootstrap` brings.
PROGRAMS: Final = ("dockerd", "docker", "docker-compose", "debootstrap")


class TrialError(Exception):
    """The trial cannot go on; the message says why."""


def require_programs() -> None:
    """Say at once what is missing.

    Raises:
        TrialError: naming it.
    """
    if os.geteuid() != 0:
        raise TrialError("debootstrap and dockerd need root")
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        raise TrialError(f"{', '.join(missing)} not found: apt-get install docker.io docker-compose debootstrap")


@contextmanager
def engine(home: Path) -> Iterator[str]:
    """Run a Docker engine that keeps everything in a folder, and yield its address for `DOCKER_HOST`.

    Raises:
        TrialError: it does not answer within a minute; with the end of its log.
    """
    home.mkdir(parents=True, exist_ok=True)
    # A socket's path must be short: it stands beside the folder of the stack in the temporary folder.
    address = f"unix://{home}/docker.sock"
    log = home / "dockerd.log"
    command = ("dockerd", "--data-root", home / "data", "--exec-root", home / "exec", "--pidfile", home / "pid")
    with log.open("wb") as out:
        # A session of its own: Ctrl-C is for this program, which then stops the engine in order.
        daemon = subprocess.Popen([*command, "--host", address], stdout=out, stderr=out, start_new_session=True)
    try:
        _wait(daemon, address, log)
        yield address
    finally:
        daemon.terminate()
        try:
            daemon.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def _wait(daemon: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    asked = ("docker", "--host", address, "version")
    while subprocess.run(asked, capture_output=True, check=False).returncode != 0:
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise TrialError(f"the Docker engine does not start:\n{_tail(log)}")
        time.sleep(_POLL_SECONDS)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])
