"""Processes are told apart by more than their number."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from devstack import identity
from devstack.identity import MARK, ProcessId

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a Python that says when it runs, and then waits."""
    started = []

    def start(code: str = "", **variables: str) -> subprocess.Popen[str]:
        script = f"import signal; {code}\nprint('up', flush=True); signal.pause()"
        process = subprocess.Popen(
            [sys.executable, "-c", script], env=os.environ | variables, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def identify(process: subprocess.Popen[str]) -> ProcessId:
    """The identity of a process that runs."""
    found = ProcessId.of(process.pid)
    assert found is not None
    return found


def test_a_running_process_is_found_again() -> None:
    """An identity that went through a file still names its process."""
    mine = ProcessId.of(os.getpid())
    assert mine is not None
    assert ProcessId.model_validate_json(mine.model_dump_json()).alive()


def test_another_process_with_the_same_pid_is_not_taken_for_it() -> None:
    """A process that was created at another time is another process, and gets no signal."""
    mine = ProcessId.of(os.getpid())
    assert mine is not None
    earlier = ProcessId(pid=mine.pid, created=mine.created - 60)
    assert not earlier.alive()
    identity.end({earlier: signal.SIGKILL}, seconds=0)  # we are here to tell


def test_a_process_that_has_ended_is_gone(start: Start) -> None:
    """Neither a zombie nor a pid that nobody has is alive."""
    process = start()
    known = identify(process)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not known.alive()
    process.wait()
    assert not known.alive()
    assert ProcessId.of(process.pid) is None


def test_processes_are_found_by_the_mark_of_their_stack(start: Start) -> None:
    """A process belongs to the stack whose mark it has, and to the program that supervisord named it for."""
    supervisor = start(**{MARK: "one"})
    program = start(**{MARK: "one", "SUPERVISOR_PROCESS_NAME": "valkey"})
    start(**{MARK: "another"})
    assert identity.marked("one") == {identify(supervisor): "", identify(program): "valkey"}


def test_what_does_not_end_when_asked_is_killed(start: Start) -> None:
    """A process that ignores its signal is gone all the same when `end` returns."""
    stubborn = identify(start("signal.signal(signal.SIGTERM, signal.SIG_IGN)"))
    polite = identify(start())
    identity.end({stubborn: signal.SIGTERM, polite: signal.SIGTERM}, seconds=0.2)
    assert not stubborn.alive()
    assert not polite.alive()
