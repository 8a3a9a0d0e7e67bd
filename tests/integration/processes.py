"""Real worker processes for tests."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import redis
from celery import Celery

from contract import QUEUES, SWEEP
from producer import Client
from tests.repeating import every


class Worker:
    """A `celery -A worker ...` process, with its log in a file."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str], log: Path) -> None:
        self._command = [sys.executable, "-m", "celery", "-A", "worker", *arguments]
        self._environment = {**os.environ, **environment, "LOOKALIKE_LOG_FORMAT": "json"}
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.log.open("ab") as file:
            # Some other folder than the checkout: the packages are installed.
            self._process = subprocess.Popen(
                self._command, env=self._environment, cwd=self.log.parent, stdout=file, stderr=file
            )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        finally:
            self._process.kill()
            self._process.wait(10)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the main process."""
        assert self._process is not None
        self._process.send_signal(number)

    @property
    def pid(self) -> int:
        """Of the main process."""
        assert self._process is not None
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        assert self._process is not None
        return self._process.poll() is not None

    def lines(self) -> list[dict[str, Any]]:
        """The log's lines of JSON. Celery's banner is none."""
        texts = self.log.read_text().splitlines()
        return [json.loads(text) for text in texts if text.startswith("{")]


def eventually(what: str, holds: Callable[[], bool], *, seconds: float = 120) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: it did not in time.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)


def settled(client: Client, *, seconds: float = 240) -> None:
    """Wait until nothing that was accepted is outstanding."""
    eventually("all events settled", lambda: client.outstanding() == 0, seconds=seconds)


# A server of Valkey has databases enough for tests that want no other worker to take their messages.
ADDRESSES = ("LOOKALIKE_BROKER_URL", "LOOKALIKE_RESULT_BACKEND_URL", "LOOKALIKE_LEDGER_URL")


def on_own_databases(environment: Mapping[str, str], first: int) -> dict[str, str]:
    """The environment with three other databases of Valkey, which are emptied."""
    moved = {name: f"{environment[name].rpartition('/')[0]}/{first + n}" for n, name in enumerate(ADDRESSES)}
    for url in moved.values():
        with redis.Redis.from_url(url) as server:
            server.flushdb()
    return {**environment, **moved}


@contextmanager
def swept(environment: Mapping[str, str]) -> Iterator[None]:
    """Have the ledger swept every second, as beat has it every 15 s, by whatever worker takes searches."""
    with (
        Celery(
            "sweeps",
            broker=environment["LOOKALIKE_BROKER_URL"],
            broker_transport_options={"master_name": "mymaster"},
            set_as_current=False,
        ) as app,
        every(1, lambda: app.send_task(SWEEP, queue=QUEUES[SWEEP], ignore_result=True, expires=2)),
    ):
        yield
