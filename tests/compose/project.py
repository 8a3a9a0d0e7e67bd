"""The project that docker-compose.yml describes, in a folder of its own, with secrets of its own."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from devstack.oss import Credentials
from tests.compose.engine import TrialError
from tests.compose.images import Docker, run

ROOT: Final = Path(__file__).parents[2]
# What a user has: the repository.
_TREE: Final = (
    *("docker-compose.yml", "pyproject.toml", "README.md", "celeryconfig.py", ".dockerignore"),
    *("deploy", "requirements", "contract", "producer", "worker"),
)
_LEFT_OUT: Final = shutil.ignore_patterns("__pycache__", "*.so", "secrets")
_NAME: Final = "lookalike"
_HEALTHY_SECONDS: Final = 180.0
_POLL_SECONDS: Final = 1.0


class Project:
    """The commands of `docker-compose`, and what became of the containers."""

    def __init__(self, docker: Docker, directory: Path) -> None:
        self._docker = docker
        self.directory = directory
        for name in _TREE:
            source, target = ROOT / name, directory / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=_LEFT_OUT)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
        self.services: dict[str, dict[str, Any]] = yaml.safe_load((directory / "docker-compose.yml").read_text())[
            "services"
        ]

    def configure(self, endpoint: str, bucket: str, region: str, credentials: Credentials) -> None:
        """Do what the documents say: fill in `.env`, and make the secrets."""
        text = (self.directory / "deploy" / "env.example").read_text()
        for name, value in {"ENDPOINT": endpoint, "BUCKET": bucket, "REGION": region}.items():
            text = re.sub(rf"(?m)^LOOKALIKE_OSS_{name}=.*$", f"LOOKALIKE_OSS_{name}={value}", text)
        (self.directory / ".env").write_text(text)
        given = {
            "OSS_ACCESS_KEY_ID": credentials.access_key_id,
            "OSS_ACCESS_KEY_SECRET": credentials.access_key_secret,
        }
        run("sh", "deploy/make-secrets.sh", environment=given, cwd=self.directory)

    def secret(self, name: str) -> str:
        """One of the secrets that were made."""
        return (self.directory / "deploy" / "secrets" / name).read_text().rstrip("\n")

    def __call__(self, *arguments: str) -> str:
        """Run `docker-compose`, and give what it prints.

        Raises:
            TrialError: it failed; with what it said.
        """
        command = ("docker-compose", "--project-name", _NAME, *arguments)
        return run(*command, environment=self._docker.environment, cwd=self.directory)

    def containers(self, service: str) -> list[dict[str, Any]]:
        """What Docker says of a service's containers, the first of them first."""
        ids = self("ps", "--quiet", service).split()
        found: list[dict[str, Any]] = json.loads(self._docker("inspect", *ids)) if ids else []
        return sorted(found, key=lambda one: str(one["Name"]))

    def address(self, service: str, network: str = "inner") -> str:
        """The address of a service's container, which this machine can reach."""
        (container, *_) = self.containers(service)
        return str(container["NetworkSettings"]["Networks"][f"{_NAME}_{network}"]["IPAddress"])

    def inside(self, service: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a service's first container; it may fail."""
        (container, *_) = self.containers(service)

        return self._docker.attempt("exec", container["Id"], *command)

    def wait_until_well(self, services: Sequence[str]) -> None:
        """Wait until every container of these services is healthy, or runs where nothing asks how it is.

        Raises:
            TrialError: one is not within three minutes; with the end of its log.
        """
        deadline = time.monotonic() + _HEALTHY_SECONDS
        for service in services:
            while not (found := self.containers(service)) or not all(map(_is_well, found)):
                if time.monotonic() > deadline:
                    log = self("logs", "--no-color", "--tail", "40", service)
                    raise TrialError(f"{service} is not well: {[one['State'] for one in found]}\n{log}")
                time.sleep(_POLL_SECONDS)


def _is_well(container: Mapping[str, Any]) -> bool:
    state = container["State"]
    return bool(state["Running"]) and state.get("Health", {}).get("Status", "healthy") == "healthy"
