"""The plug that makes pictures kill whoever decodes them."""

import os
import subprocess
import sys
from pathlib import Path
from signal import SIGKILL

from tests.chaos.faults.content import CRASH, HANG
from tests.chaos.pictures import pictures

POISON = Path(__file__).parent / "poison"
# It never sleeps, and says so instead.
PROGRAM = """
import sys, time
from worker.core.hashing import create_vector

def sleep(seconds):
    sys.exit(f"asleep for {seconds} s")

time.sleep = sleep
sys.stdout.buffer.write(create_vector(sys.stdin.buffer.read()))
"""


def decode(body: bytes) -> subprocess.CompletedProcess[bytes]:
    """Decode a picture in a process of its own, where the plug is on the path as in the workers of the harness."""
    command = [sys.executable, "-P", "-c", PROGRAM]
    environment = {**os.environ, "PYTHONPATH": str(POISON)}
    return subprocess.run(command, input=body, env=environment, capture_output=True, timeout=60, check=False)


def test_other_pictures_are_decoded_as_ever() -> None:
    """The plug changes nothing for them."""
    done = decode(pictures()[0].body)
    assert done.stdout == pictures()[0].vector
    assert done.returncode == 0


def test_a_crash_ends_the_process() -> None:
    """As if the kernel had killed it."""
    assert decode(pictures()[0].body + CRASH).returncode == -SIGKILL


def test_a_hang_never_ends() -> None:
    """It sleeps for longer than anybody waits."""
    assert decode(pictures()[0].body + HANG).stderr == b"asleep for 3600 s\n"
