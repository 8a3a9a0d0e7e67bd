"""What all tests share."""

import socket
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import settings

from devstack import Stack

# The machine may be busy: how long an example takes says nothing.
settings.register_profile("lookalike", deadline=None)
settings.load_profile("lookalike")


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
def free_port() -> int:
    """A port of loopback on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
