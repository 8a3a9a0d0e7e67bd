"""What all tests share."""

import os
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import settings

from devstack import Stack, ports
from devstack.ports import reserve

# The machine may be busy: how long an example takes says nothing. A test that passed passes again; who looks for new
# examples takes `--hypothesis-profile fresh`.
settings.register_profile("lookalike", deadline=None, derandomize=True)
settings.register_profile("fresh", deadline=None)
settings.load_profile("lookalike")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the pictures of the documentation be taken by the tests that take them anyway."""
    parser.addoption("--screenshots", help="keep the screenshots of pages in this folder")


def pytest_configure() -> None:
    """Give each process of pytest-xdist ports of its own: of a server that is killed, the others would see one free."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None:
        number, processes = int(worker.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        ports.CANDIDATES = ports.CANDIDATES[number::processes]  # type: ignore[misc]  # Final, for all but this


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Valkey, Milvus and the OSS stand-in, without workers. They stop with the tests, however those end."""
    with Stack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture(scope="session")
def stack_env(stack: Stack) -> Mapping[str, str]:
    """The variables of the stack that all tests share."""
    return stack.env


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port on which nothing listens, and which nobody else is given while the test runs."""
    with reserve(["test"], {}) as reserved:
        yield reserved["test"]
