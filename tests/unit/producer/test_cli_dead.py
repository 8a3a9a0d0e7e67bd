"""`lookalike dead`, with letters in memory."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

import pytest
import typer
from typer.testing import CliRunner, Result

from contract import DeadLetter, Reason
from producer.cli import dead as dead_module
from producer.cli import program
from producer.cli.selecting import parse_moment
from producer.dead_letters import ReplayInterrupted, ReplayResult
from producer.selection import Selection, StoredLetter

EVENT = {"object_key": "a\x1b[31m.jpg", "meta_id": 1, "company_id": 7}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
FIRST, LAST = "2026-01-01T00:00:00.000+00:00", "2026-01-01T01:00:00.000+00:00"
LETTER = StoredLetter("5-0", DeadLetter(EVENT, Reason.NOT_FOUND, "no object", 3, FIRST, LAST, TRACE))
ODD = StoredLetter("6-0", DeadLetter([1, "x"], Reason.INVALID, "not\nan object", 1, "first", "last"))


class InMemoryLetters:
    """Dead letters in a list; every selection that came is remembered."""

    def __init__(self) -> None:
        self.stored = [LETTER, ODD]
        self.selections: list[Selection] = []
        self.error: BaseException | None = None
        self.done: list[str] = []

    def read(self, selection: Selection) -> Iterator[StoredLetter]:
        """Read what is selected."""
        self.selections.append(selection)
        if self.error is not None:
            raise self.error
        return (
            one for one in self.stored if selection.holds(one.letter) and (not selection.ids or one.id in selection.ids)
        )

    def up_to_now(self, selection: Selection) -> Selection:
        """Bound a selection."""
        return replace(selection, last_id="9-0")

    def count(self, selection: Selection) -> int:
        """Count what is selected."""
        return len(list(self.read(selection)))

    def replay(
        self,
        selection: Selection,
        *,
        reject: Callable[[StoredLetter, str], None],
        progress: Callable[[int], None],
        waiting: Callable[[int], None],
    ) -> ReplayResult:
        """Replay what is not invalid."""
        left = replayed = 0
        waiting(0)
        for one in self.read(selection):
            if one.letter.reason is Reason.INVALID:
                left += 1
                reject(one, "object_key: is\nmissing")
            else:
                self.done.append(f"replay {one.id}")
                replayed += 1
                progress(replayed)
        return ReplayResult(replayed, left)

    def purge(self, selection: Selection) -> int:
        """Remove what is selected."""
        purged = [f"purge {one.id}" for one in self.read(selection)]
        self.done += purged
        return len(purged)


class InMemoryClient:
    """A client that has dead letters, and nothing else."""

    def __init__(self, dead: InMemoryLetters) -> None:
        self.dead = dead

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass


@pytest.fixture
def dead() -> InMemoryLetters:
    """The letters of the command under test."""
    return InMemoryLetters()


Run = Callable[..., Result]


@pytest.fixture
def run(dead: InMemoryLetters, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `lookalike dead` with these letters."""
    monkeypatch.setenv("COLUMNS", "160")

    def invoke(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(program, ["dead", *arguments], input=stdin, obj=lambda: InMemoryClient(dead))

    return invoke


def test_list(run: Run, dead: InMemoryLetters) -> None:
    """In JSON one object a line, with the fields of the contract and the id."""
    dead.stored = [LETTER] * 3
    lines = run("list", "--json", "--limit", "2").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            "id": "5-0",
            "event": EVENT,
            "reason": "not_found",
            "error": "no object",
            "attempts": 3,
            "first_seen": FIRST,
            "last_seen": LAST,
            "trace_id": TRACE,
        }
    ] * 2
    assert dead.selections == [Selection()]


def test_list_for_people(run: Run) -> None:
    """A line each, also for an event that fits no contract; nothing in it colours the terminal."""
    assert run("list").stdout.splitlines() == [
        f"5-0  {LAST}  not_found  company 7, meta 1, a\\x1b[31m.jpg: no object (3 attempts)",
        "6-0  last  invalid  [1, 'x']: not\\nan object (1 attempt)",
    ]


@pytest.mark.parametrize("command", [["list"], ["replay"], ["purge", "--yes"]])
def test_filters_reach_the_selection(run: Run, dead: InMemoryLetters, command: list[str]) -> None:
    """Each to its field; `--reason` adds up, and `--company` is short for `--company-id`."""
    filters = [
        "--reason",
        "crash",
        "--reason",
        "not_found",
        "--since",
        "2026-01-01",
        "--until",
        "2026-01-01T03:00+02:00",
    ]
    expected = Selection(
        reasons=frozenset({Reason.CRASH, Reason.NOT_FOUND}),
        company_id=-7,
        since=datetime(2026, 1, 1, tzinfo=UTC),
        until=datetime(2026, 1, 1, 1, tzinfo=UTC),
    )
    for company in ("--company", "--company-id"):
        assert run(*command, *filters, company, "-7").exit_code == 0
    assert {replace(one, last_id="+") for one in dead.selections} == {expected}


def test_a_span_is_before_now() -> None:
    """In seconds, minutes, hours, days or weeks."""
    for text, span in (
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("2h", timedelta(hours=2)),
        ("7d", timedelta(days=7)),
        ("1w", timedelta(days=7)),
    ):
        assert abs(datetime.now(UTC) - span - parse_moment(text)) < timedelta(seconds=10)


@pytest.mark.parametrize("text", ["", "h", "2x", "-2h", "2 h", "999999999w", "2026-13-01", "yesterday", "\u0662h"])
def test_what_is_no_time(text: str) -> None:
    """Is wrong usage, and no traceback."""
    with pytest.raises(typer.BadParameter, match="neither a time"):
        parse_moment(text)


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--limit", "0"],
        ["list", "--reason", "boredom"],
        ["list", "--since", "soon"],
        ["show"],
        ["show", "5"],
        ["replay"],
        ["replay", "5-x"],
        ["replay", "--all", "5-0"],
        ["replay", "--all", "--company", "0"],
        ["purge", "--yes"],
        ["purge", "--yes", "--all", "--since", "2h"],
        ["purge", "--all"],
        ["purge", "5-0", "--json"],
    ],
)
def test_wrong_usage(run: Run, dead: InMemoryLetters, arguments: list[str]) -> None:
    """Exit code 2, and nothing is done: not even a purge that is not confirmed where nobody can be asked."""
    result = run(*arguments, stdin="y\n")
    assert result.exit_code == 2
    assert (dead.selections, dead.done) == ([], [])
    assert "Traceback" not in result.stderr


def test_show(run: Run) -> None:
    """A letter whole, a field a line; in JSON one object a line."""
    result = run("show", "6-0", "5-0")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:8] == [
        "id          5-0",
        "reason      not_found",
        "error       no object",
        "attempts    3",
        f"first_seen  {FIRST}",
        f"last_seen   {LAST}",
        f"trace_id    {TRACE}",
        'event       {"object_key": "a\\u001b[31m.jpg", "meta_id": 1, "company_id": 7}',
    ]
    assert json.loads(run("show", "6-0", "--json").stdout) == ODD.as_dict()


def test_show_what_is_not_there(run: Run) -> None:
    """It is named, the others are shown, and the exit code is 1."""
    result = run("show", "4-0", "5-0")
    assert (result.exit_code, result.stderr) == (1, "lookalike: 4-0: no such dead letter\n")
    assert result.stdout.startswith("id          5-0\n")


def test_replay(run: Run, dead: InMemoryLetters) -> None:
    """What is selected, and a summary."""
    result = run("replay", "5-0")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "replayed 1 event\n", "")
    assert dead.done == ["replay 5-0"]


def test_replay_leaves_what_is_invalid(run: Run) -> None:
    """It is told of on the standard error, and the exit code is 1; --json prints the summary alone."""
    result = run("replay", "--all", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"replayed": 1, "left": 1}
    assert result.stderr == "6-0: cannot be replayed: object_key: is\\nmissing\n"
    assert run("replay", "--reason", "invalid").stdout.endswith("; 1 letter left\n")


def test_ids_of_no_letter(run: Run) -> None:
    """Who asked for a letter by its id learns that it was not there."""
    for command in (["replay"], ["purge", "--yes"]):
        result = run(*command, "5-0", "4-0")
        assert result.exit_code == 1
        assert result.stderr == "lookalike: 1 of 2 ids: no such dead letter, or the filters leave it out\n"


def test_replay_that_is_interrupted(run: Run, dead: InMemoryLetters) -> None:
    """By a failure: one line that says how far it came; by hand: exit code 130."""
    dead.error = ReplayInterrupted("no broker; the sweeper publishes them", accepted=1)
    result = run("replay", "--all")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "lookalike: no broker; the sweeper publishes them\n"
    dead.error = KeyboardInterrupt()
    result = run("replay", "--all")
    assert result.exit_code == 130
    assert result.stderr == "lookalike: interrupted; replayed until then: 0 events\n"


def test_purge(run: Run, dead: InMemoryLetters) -> None:
    """With --yes nobody is asked."""
    assert run("purge", "--all", "--yes").stdout == "purged 2 dead letters\n"
    assert dead.done == ["purge 5-0", "purge 6-0"]
    assert json.loads(run("purge", "6-0", "-y", "--json").stdout) == {"purged": 1}


def test_purge_asks(run: Run, dead: InMemoryLetters, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the standard error, with the number; no is no, and yes removes what was counted and nothing newer."""
    monkeypatch.setattr(dead_module, "_somebody_is_there", lambda: True)
    refused = run("purge", "--all", "--json", stdin="n\n")
    assert (refused.exit_code, refused.stdout, dead.done) == (1, "", [])
    assert "Remove 2 dead letters for good? [y/N]" in refused.stderr
    agreed = run("purge", "--all", "--json", stdin="y\n")
    assert (agreed.exit_code, json.loads(agreed.stdout)) == (0, {"purged": 2})
    assert dead.selections == [Selection(last_id="9-0")] * 3


def test_nothing_to_purge(run: Run, dead: InMemoryLetters, monkeypatch: pytest.MonkeyPatch) -> None:
    """Needs no question."""
    monkeypatch.setattr(dead_module, "_somebody_is_there", lambda: True)
    dead.stored = []
    assert run("purge", "--all").stdout == "purged 0 dead letters\n"


@pytest.mark.parametrize("command", ["list", "show", "replay", "purge"])
def test_help(run: Run, command: str) -> None:
    """Every command explains itself."""
    result: Any = run(command, "--help")
    assert result.exit_code == 0
    assert "Usage: " in result.stdout
