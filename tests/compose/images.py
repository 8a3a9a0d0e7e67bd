"""The images that stand in for those that cannot be pulled, under the names that docker-compose.yml gives them."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from devstack import milvus_binary
from tests.compose.engine import TrialError

_HERE: Final = Path(__file__).parent / "standins"
_BASE: Final = "lookalike-standin/base"
_SUITE: Final = "bookworm"
# One Debian for all of them. python3-dev has the headers that the official image of Python has.
_PACKAGES: Final = (
    *("ca-certificates", "curl", "procps", "wget"),
    *("etcd-client", "etcd-server", "prometheus", "redis-server"),
    *("libpython3-dev", "python3", "python3-venv"),
)
# What this machine trusts, for a builder that fetches packages as this machine does.
_CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
# The service of docker-compose.yml, and the stage of standins/Dockerfile that plays it.
STAGES: Final[Mapping[str, str]] = {
    "redis": "redis",
    "etcd": "etcd",
    "milvus": "milvus",
    "minio": "answering",
    "prometheus": "prometheus",
    "grafana": "answering",
}


def build(docker: "Docker", services: Mapping[str, Mapping[str, Any]], dockerfile: Path, work: Path) -> dict[str, str]:
    """Build every stand-in.

    Args:
        docker: the engine.
        services: the services of docker-compose.yml.
        dockerfile: that of our own image, which is really built, on a stand-in for its base.
        work: a folder for what is made on the way.

    Returns:
        What stands in for which image.
    """
    if not docker.has(_BASE):
        _bootstrap(docker, work / "debian")
    context = work / "context"
    shutil.copytree(_HERE, context, dirs_exist_ok=True)
    shutil.copytree(milvus_binary.unpacked(work), context / "milvus", dirs_exist_ok=True)
    base = re.findall(r"(?m)^FROM (\S+)", dockerfile.read_text())[0]
    wanted = {base: "python"} | {services[name]["image"]: stage for name, stage in STAGES.items() if name in services}
    for image, stage in wanted.items():
        docker("build", "--quiet", "--target", stage, "--tag", image, str(context))
    return wanted


class Docker:
    """The command `docker`, on one engine."""

    def __init__(self, address: str) -> None:
        # The builder of before BuildKit, which Debian's Docker has.
        self.environment = {"DOCKER_HOST": address, "DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0"}

    def __call__(self, *arguments: str) -> str:
        """Run it, and give what it prints.

        Raises:
            TrialError: it failed; with what it said.
        """
        return run("docker", *arguments, environment=self.environment)

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it, whether it fails or not."""
        return _run(["docker", *arguments], self.environment, None)

    def has(self, image: str) -> bool:
        """Whether there is such an image."""
        return bool(self("images", "--quiet", image).strip())


def run(*command: str, environment: Mapping[str, str], cwd: Path | None = None) -> str:
    """Run a command to its end, with these variables beside this process's, and give what it prints.

    Raises:
        TrialError: it failed; with what it said.
    """
    finished = _run(command, environment, cwd)
    if finished.returncode != 0:
        said = (finished.stdout + finished.stderr).strip()
        raise TrialError(f"{' '.join(command[:6])} ... ended with {finished.returncode}:\n{said[-4000:]}")
    return finished.stdout


def _run(command: Sequence[str], environment: Mapping[str, str], cwd: Path | None) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, **environment}
    return subprocess.run(command, env=variables, cwd=cwd, capture_output=True, text=True, check=False)


def _bootstrap(docker: Docker, root: Path) -> None:
    """Make the Debian that all stand-ins share, from the packages that this machine can have."""
    shutil.rmtree(root, ignore_errors=True)
    run("debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", _SUITE, str(root), environment={})
    for archive in (root / "var/cache/apt/archives").glob("*.deb"):
        archive.unlink()
    shutil.copy(_CERTIFICATES, root / _CERTIFICATES.relative_to("/"))
    (root / "etc/pip.conf").write_text(f"[global]\ncert = {_CERTIFICATES}\ntimeout = 180\n")
    archive = root.with_suffix(".tar")
    run("tar", "--directory", str(root), "--create", "--file", str(archive), ".", environment={})
    docker("import", str(archive), _BASE)
    archive.unlink()
    shutil.rmtree(root)
