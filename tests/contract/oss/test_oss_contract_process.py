"""The stand-in as a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import oss2
import pytest

from devstack.oss import Fault, FaultClient

SECRET = "a-secret-that-nobody-prints"  # noqa: S105 - for tests
ENVIRONMENT = {"OSS_ACCESS_KEY_ID": "ak", "OSS_ACCESS_KEY_SECRET": SECRET}
DEADLINE_SECONDS = 20.0

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts processes, and kills those that the test leaves."""
    with ExitStack() as stack:

        def start(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
            clean = {name: value for name, value in os.environ.items() if not name.startswith("OSS_")}
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "devstack.oss", "--data", str(tmp_path / "oss"), *arguments],
                    env=clean | (ENVIRONMENT if environment is None else environment),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)
            return process

        yield start


def endpoint_of(process: subprocess.Popen[str]) -> str:
    """Where a process listens, once it does."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()
    announced = json.loads(line)
    assert list(announced) == ["endpoint"]
    return str(announced["endpoint"])


@contextmanager
def bucket_at(endpoint: str, secret: str = SECRET) -> Iterator[Any]:
    """The bucket of a process."""
    session = oss2.Session()
    session.session.trust_env = False
    with session.session:
        yield oss2.Bucket(oss2.AuthV4("ak", secret), endpoint, "pictures", session=session, region="cn-hangzhou")


def test_a_process_serves_and_stops(start: Start) -> None:
    """It says where it listens, serves, and ends with code 0 upon SIGTERM, though a client hangs."""
    process = start("--bucket", "others", "--bucket", "pictures", "--region", "cn-hangzhou")
    endpoint = endpoint_of(process)
    assert endpoint.startswith("http://127.0.0.1:")
    with bucket_at(endpoint) as bucket:
        bucket.put_object("a.jpg", b"body" * 1000)
        with FaultClient(endpoint).active(Fault("stall", key="a.jpg")):
            hanging = bucket.get_object("a.jpg")
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_SECONDS) == 0
        hanging.close()
    assert process.communicate() == ("", "")


def test_objects_outlive_a_kill(start: Start) -> None:
    """After kill -9 every object that was acknowledged is there, under the same port."""
    process = start("--bucket", "pictures")
    endpoint = endpoint_of(process)
    with bucket_at(endpoint) as bucket:
        for number in range(20):
            bucket.put_object(f"{number:02}", str(number))
        process.kill()
        process.wait(DEADLINE_SECONDS)
    again = start("--bucket", "pictures", "--port", endpoint.rpartition(":")[2])
    assert endpoint_of(again) == endpoint
    with bucket_at(endpoint) as bucket:
        assert [bucket.get_object(f"{number:02}").read() for number in range(20)] == [
            str(number).encode() for number in range(20)
        ]
    again.terminate()
    assert again.wait(DEADLINE_SECONDS) == 0


def test_the_endpoint_can_go_to_a_file(start: Start, tmp_path: Path) -> None:
    """With --port-file the line is in the file, complete from the moment that the file exists, and gone at the end."""
    file = tmp_path / "endpoint.json"
    process = start("--bucket", "pictures", "--port-file", str(file))
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not file.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
    with bucket_at(json.loads(file.read_text())["endpoint"]) as bucket:
        assert bucket.put_object("a.jpg", b"").status == 200
    process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE_SECONDS) == 0
    assert process.communicate() == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["oss"]


@pytest.mark.parametrize(
    ("environment", "arguments", "message"),
    [
        ({}, ["--bucket", "pictures"], "OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET"),
        ({"OSS_ACCESS_KEY_ID": "ak"}, ["--bucket", "pictures"], "must have OSS_ACCESS_KEY_SECRET:"),
        (ENVIRONMENT, ["--bucket", "Pictures"], "not a bucket name: 'Pictures'"),
        (ENVIRONMENT, [], "--bucket"),
        (ENVIRONMENT, ["--bucket", "pictures", "--host", "192.0.2.1"], "192.0.2.1"),
    ],
    ids=["no credentials", "half of them", "no name", "no bucket", "an address of others"],
)
def test_a_process_that_cannot_serve_says_why(
    start: Start, environment: dict[str, str], arguments: list[str], message: str
) -> None:
    """Missing credentials, bad names and a foreign address end the process, with one message and no traceback."""
    process = start(*arguments, environment=environment)
    output, errors = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode != 0
    assert message in errors
    assert "Traceback" not in errors
    assert SECRET not in output + errors


def test_temporary_credentials_come_from_the_environment(start: Start) -> None:
    """With OSS_SESSION_TOKEN set, a client without the token is refused."""
    process = start("--bucket", "pictures", environment={**ENVIRONMENT, "OSS_SESSION_TOKEN": "token"})
    with bucket_at(endpoint_of(process)) as bucket:
        with pytest.raises(oss2.exceptions.ServerError, match="InvalidSecurityToken"):
            bucket.put_object("a.jpg", b"")
        bucket.auth = oss2.StsAuth("ak", SECRET, "token", "v4")
        assert bucket.put_object("a.jpg", b"").status == 200
    process.terminate()
    assert process.wait(DEADLINE_SECONDS) == 0
