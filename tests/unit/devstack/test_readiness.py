"""Waiting for programs: a restart is borne, a program that does not stay up is said to be that."""

from pathlib import Path
from typing import cast

import pytest

from devstack import readiness
from devstack.errors import ServiceDied, StackError
from devstack.programs import Kind, Program
from devstack.supervision import Info, Supervisor

PROGRAM = Program(name="valkey", kind=Kind.VALKEY, command=("valkey",), directory=Path())


class Story:
    """A supervisor that says of the program what a story tells, one word a look, and in the end the last for ever."""

    def __init__(self, *looks: tuple[str, int]) -> None:
        self._looks = list(looks)

    def programs(self) -> dict[str, Info]:
        """The next look."""
        state, pid = self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]
        return {"valkey": Info("valkey", state, pid)}


class ReadyWhen:
    """A probe that finds a program ready at the n-th time it is asked."""

    def __init__(self, asked: int) -> None:
        self._left = asked

    def is_ready(self, program: Program) -> bool:
        """Whether it is ready."""
        assert program is PROGRAM
        self._left -= 1
        return self._left <= 0


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time passes between two looks."""
    monkeypatch.setattr(readiness, "_POLL_SECONDS", 0)


def wait(story: Story, *, asked: int, deaths: int, seconds: float = 60) -> None:
    """Wait for the program of a story."""
    probe = cast("readiness.Probe", ReadyWhen(asked))
    readiness.wait(cast("Supervisor", story), [PROGRAM], probe, directory=Path(), seconds=seconds, deaths=deaths)


def test_a_restart_is_one_death_however_long_it_takes() -> None:
    """A program that is away for many looks, and then back, has died once."""
    story = Story(("RUNNING", 1), *[("BACKOFF", 0)] * 10, ("STARTING", 2), ("RUNNING", 2))
    wait(story, asked=3, deaths=1)


def test_a_program_that_dies_too_often_is_given_up() -> None:
    """One death more than is allowed, whether or not another process is there already."""
    story = Story(("RUNNING", 1), ("RUNNING", 2), ("BACKOFF", 0))
    with pytest.raises(ServiceDied, match="valkey"):
        wait(story, asked=100, deaths=1)


def test_a_program_that_nobody_starts_again_is_given_up_at_once() -> None:
    """FATAL is supervisord's last word."""
    with pytest.raises(ServiceDied):
        wait(Story(("FATAL", 0)), asked=1, deaths=100)


def test_patience_ends() -> None:
    """A program that runs but never gets ready is named."""
    with pytest.raises(StackError, match="not ready after 0 s: valkey"):
        wait(Story(("RUNNING", 1)), asked=10**9, deaths=0, seconds=0)
