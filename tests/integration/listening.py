"""A real `lookalike listen`, as a process."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import httpx2

from tests.integration.processes import eventually

PROGRAM: Final = str(Path(sys.executable).parent / "lookalike")
SECRET: Final = "a-secret-of-the-integration-tests"  # noqa: S105 - not a real one


class Listening:
    """A listener, its port the system's choice, its log in a file."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self._environment = {**os.environ, "LOOKALIKE_LISTEN_SECRETS": SECRET, **environment}
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        with self.log.open("ab") as file:
            self._process = subprocess.Popen(
                [PROGRAM, "listen", "--port", "0"],
                env={**self._environment, "LOOKALIKE_LOG_FORMAT": "json"},
                cwd=self.log.parent,
                stdout=file,
                stderr=file,
            )
        eventually("the listener listens", self._listens)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop it, and say how it ended."""
        assert self._process is not None
        self._process.send_signal(number)
        try:
            return self._process.wait(30)
        finally:
            self._process.kill()
            self._process.wait(10)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        url = httpx2.URL(self.url)
        assert url.port is not None
        return url.host, url.port

    def post(self, path: str, content: bytes, **request: Any) -> httpx2.Response:
        """Send a delivery, with the secret."""
        headers = {"Authorization": f"Bearer {SECRET}", **request.pop("headers", {})}
        return httpx2.post(self.url + path, content=content, headers=headers, timeout=30, **request)

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        found = re.search(r"http://127\.0\.0\.1:[0-9]+", self.log.read_text())
        if found is not None:
            self.url = found[0]
        return found is not None
