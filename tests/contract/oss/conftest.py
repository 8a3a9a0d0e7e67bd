"""A running stand-in for OSS, and the clients that its contract is tested with."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import oss2
import pytest
import requests

from devstack.oss import Credentials, OssServer

REGION = "cn-hangzhou"
BUCKET = "pictures"
CREDENTIALS = Credentials("test-key-id", "test-key-secret")


class ShiftedClock:
    """The time, and so many seconds; the server reads it in its own thread."""

    def __init__(self) -> None:
        self.shift = 0.0

    def __call__(self) -> float:
        """What the server takes for the time."""
        return time.time() + self.shift


@pytest.fixture
def clock() -> ShiftedClock:
    """The server's clock, right until the test shifts it."""
    return ShiftedClock()


@pytest.fixture
def make_server(tmp_path: Path, clock: ShiftedClock) -> Callable[..., OssServer]:
    """Makes a server that is not started yet; all of a test share one folder."""

    def make(**settings: Any) -> OssServer:
        defaults: dict[str, Any] = {
            "buckets": [BUCKET],
            "credentials": CREDENTIALS,
            "region": REGION,
            "clock": clock,
        }
        return OssServer(tmp_path / "oss", **(defaults | settings))

    return make


@pytest.fixture
def server(make_server: Callable[..., OssServer]) -> Iterator[OssServer]:
    """A server of one bucket."""
    with make_server() as server:
        yield server


@pytest.fixture
def make_session() -> Iterator[Callable[[], Any]]:
    """Makes oss2 sessions, which the end of the test closes, with their sockets."""
    with ExitStack() as stack:

        def make() -> Any:
            session = oss2.Session(pool_size=16)
            session.session.trust_env = False
            stack.callback(session.session.close)
            return session

        yield make


@pytest.fixture
def make_bucket(server: OssServer, make_session: Callable[[], Any]) -> Callable[..., Any]:
    """Makes oss2 buckets."""

    def make(
        auth: type = oss2.AuthV4,
        *,
        key_id: str = CREDENTIALS.access_key_id,
        secret: str = CREDENTIALS.access_key_secret,
        endpoint: str | None = None,
        name: str = BUCKET,
        timeout: float = 10.0,
        **settings: Any,
    ) -> Any:
        return oss2.Bucket(
            auth(key_id, secret),
            endpoint or server.endpoint,
            name,
            session=make_session(),
            connect_timeout=timeout,
            **({"region": REGION} | settings),
        )

    return make


@pytest.fixture
def bucket(make_bucket: Callable[..., Any]) -> Any:
    """The bucket through oss2 with V4 signatures, as the workers use it."""
    return make_bucket()


@pytest.fixture
def http() -> Iterator[requests.Session]:
    """A plain HTTP client, for presigned URLs and for requests that no SDK would send."""
    with requests.Session() as session:
        session.trust_env = False
        yield session
