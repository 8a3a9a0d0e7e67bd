"""`lookalike duplicates`, with a client that remembers what it was asked."""

import json
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self

import pytest
from typer.testing import CliRunner, Result

from contract.duplicates import DuplicatesResult, Group, GroupMember
from producer.cli import program

Run = Callable[..., Result]

GROUP = Group(
    representative=9,
    size=2,
    members=[
        GroupMember(id=9, meta_id=1, object_key="photos/[red]1[/red].jpg", distance=0),
        GroupMember(id=4, meta_id=2, object_key="photos/\x1b[31m2.jpg", distance=3),
    ],
)


class InMemoryClient:
    """Has a group, and decisions."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, dict[str, Any]]] = []
        self.decided: list[tuple[int, int]] = []
        self.groups = [GROUP]
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def duplicates(
        self, company_id: int, *, progress: Callable[[DuplicatesResult], None], **options: Any
    ) -> Iterator[Group]:
        """Tell of a step, then of the groups."""
        self.asked.append((company_id, options))
        progress(
            DuplicatesResult(
                hash="ahash", max_distance=4, state="comparing", done=1, total=2, groups=0, page=[], next=None
            )
        )
        if self.error is not None:
            raise self.error
        yield from self.groups

    def decide(self, *, company_id: int, not_duplicates: Iterable[list[int]]) -> list[tuple[int, int]]:
        """Remember pairs."""
        pairs = [(company_id, *meta_ids) for meta_ids in not_duplicates]
        self.decided += [(pair[1], pair[2]) for pair in pairs]
        return self.decided

    def forget_decisions(self, *, company_id: int, pairs: Iterable[list[int]]) -> list[tuple[int, int]]:
        """Forget pairs."""
        assert company_id
        gone = [(pair[0], pair[1]) for pair in pairs]
        self.decided = [pair for pair in self.decided if pair not in gone]
        return gone

    def decisions(self, company_id: int) -> list[tuple[int, int]]:
        """What is remembered."""
        assert company_id
        return self.decided


@pytest.fixture
def client() -> InMemoryClient:
    """The client of the command under test."""
    return InMemoryClient()


@pytest.fixture
def run(client: InMemoryClient) -> Run:
    """Run the command with the client."""
    return lambda *arguments: CliRunner().invoke(
        program, ["duplicates", "--company", "7", *arguments], obj=lambda: client
    )


def test_a_group_is_a_line_of_json(client: InMemoryClient, run: Run) -> None:
    """With its members, and nothing else on the standard output."""
    client.groups = [GROUP, GROUP]
    result = run("--max-distance", "4", "--json")
    assert [json.loads(line) for line in result.stdout.splitlines()] == [GROUP, GROUP]
    assert result.exit_code == 0


def test_options_are_passed_on(client: InMemoryClient, run: Run) -> None:
    """All of them."""
    assert run("--max-chance", "0.5", "--hash", "phash", "--low-quality", "--restart", "--timeout", "9").exit_code == 0
    (asked,) = client.asked
    assert asked == (
        7,
        {
            "max_distance": None,
            "max_chance": 0.5,
            "profile": "phash",
            "low_quality": True,
            "restart": True,
            "timeout": 9.0,
        },
    )


def test_groups_are_printed_for_people(run: Run) -> None:
    """Object keys are other people's: they move no cursor and colour nothing."""
    result = run("--max-distance", "4")
    assert result.stdout.splitlines() == [
        "group 1: 2 pictures",
        "    0             1  photos/[red]1[/red].jpg",
        "    3             2  photos/\\x1b[31m2.jpg",
        "1 group by ahash, at a distance of 4 or less",
    ]


def test_no_groups_are_said(client: InMemoryClient, run: Run) -> None:
    """A tenant may have no duplicates."""
    client.groups = []
    assert run().stdout == "0 groups by ahash, at a distance of 4 or less\n"


def test_two_bounds_are_refused(client: InMemoryClient, run: Run) -> None:
    """Before anything is asked."""
    result = run("--max-distance", "4", "--max-chance", "0.1")
    assert result.exit_code == 2
    assert client.asked == []


def test_decisions_are_recorded_listed_and_forgotten(client: InMemoryClient, run: Run) -> None:
    """And nothing is looked for."""
    assert run("--not-duplicate", "1,2", "--not-duplicate", "-3,4").stdout.splitlines() == [
        "not duplicates: 1 and 2",
        "not duplicates: -3 and 4",
    ]
    assert run("--forget", "1,2").stdout == "forgotten: 1 and 2\n"
    assert json.loads(run("--decisions", "--json").stdout) == {"decision": "not_duplicates", "meta_ids": [-3, 4]}
    assert client.asked == []


@pytest.mark.parametrize("text", ["1;2", "a,b", "1,"])
def test_what_is_no_list_of_ids_is_refused(run: Run, text: str) -> None:
    """With how to write one."""
    result = run("--not-duplicate", text)
    assert result.exit_code == 2
    assert "12,15" in result.output


def test_an_interrupt_says_how_to_go_on(client: InMemoryClient, run: Run) -> None:
    """And is no success."""
    client.error = KeyboardInterrupt()
    result = run("--max-distance", "4")
    assert "goes on from here" in result.stderr
    assert result.exit_code != 0
