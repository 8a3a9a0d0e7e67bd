"""What all tests share."""

from collections.abc import Iterator, Mapping

import pytest
from hypothesis import settings

from devstack import Stack
from devstack.ports import reserve

# The machine may be busy: how long an example takes says nothing.
settings.register_profile("lookalike", deadline=None)
settings.load_profile("lookalike")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the pictures of the documentation be taken by the tests that take them anyway."""
    parser.addoption("--screenshots", help="keep the screenshots of pages in this folder")


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
    with reserve(["test"], {}) as ports:
        yield ports["test"]
