"""What all tests share."""

import socket

import pytest
from hypothesis import settings

# The machine may be busy: how long an example takes says nothing.
settings.register_profile("lookalike", deadline=None)
settings.load_profile("lookalike")


@pytest.fixture
def free_port() -> int:
    """A port of loopback on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
