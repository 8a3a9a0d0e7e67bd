"""The command line, with a client that remembers what it was asked."""

import json
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.progress import Progress
from typer.testing import CliRunner, Result

from contract import Overloaded, QueryNotFound, ServiceUnavailable, UploadEvent
from producer import EnqueueResult, Interrupted, Status
from producer.auditing import AuditCounts, Difference, DifferenceKind
from producer.cli import program
from producer.cli.progress import Bar
from producer.cli.rejections import Rejections
from producer.fuses import BlownFuse

MATCH = {
    "id": 9,
    "meta_id": 1,
    "company_id": 7,
    "distance": 3,
    "object_key": "photos/[red]1[/red].jpg",
    "quality": 90,
    "chance": 0.00321,
    "count": 1234,
    "members": [],
}


class InMemoryClient:
    """Takes everything, answers the same to everything, or raises what it was told to."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.batch_sizes: list[int] = []
        self.waits: list[float | None] = []
        self.searches: list[dict[str, Any]] = []
        self.deleted: list[Any] = []
        self.matches: list[dict[str, Any]] = []
        self.fuses: list[BlownFuse] = []
        self.error: BaseException | None = None
        self.closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.closed = True

    def _answer(self) -> None:
        if self.error is not None:
            raise self.error

    def enqueue(self, object_key: str, *, meta_id: int, company_id: int) -> str:
        """Remember an event."""
        self._answer()
        self.events.append({"object_key": object_key, "meta_id": meta_id, "company_id": company_id})
        return "batch"

    def enqueue_many(
        self,
        events: Iterable[UploadEvent],
        *,
        batch_size: int,
        progress: Callable[[int], None],
        wait: float | None,
        waiting: Callable[[int], None],
    ) -> EnqueueResult:
        """Remember events; wait, and fail if at all, after the first."""
        self.batch_sizes.append(batch_size)
        self.waits.append(wait)
        for event in events:
            self.events.append(event.model_dump())
            waiting(12345)
            progress(len(self.events))
            self._answer()
        return EnqueueResult(len(self.events), -(-len(self.events) // batch_size))

    def search(self, *, image: Any = None, **options: Any) -> dict[str, Any]:
        """Remember what was looked for."""
        self._answer()
        if image is not None:
            assert isinstance(image, bytes)
        self.searches.append({"image": image, **options})
        return {"hash": "ahash", "matches": self.matches}

    def delete(self, items: list[Mapping[str, int]], *, timeout: float) -> int:
        """Remember the items."""
        self._answer()
        self.deleted.append((items, timeout))
        return len(items) - 1

    def status(self, *, timeout: float) -> Status:
        """Tell of a state."""
        self._answer()
        assert timeout > 0
        return Status(12345, 61.5, 2, {"ingest": 4, "search": 0}, {"images_ahash": 1000}, 3, self.fuses)


@pytest.fixture
def client() -> InMemoryClient:
    """The client of the command under test."""
    return InMemoryClient()


@pytest.fixture
def run(client: InMemoryClient, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the program with the client."""
    monkeypatch.setenv("COLUMNS", "160")

    def invoke(*arguments: str, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(program, list(arguments), input=stdin, obj=lambda: client)

    return invoke


Run = Callable[..., Result]


def test_enqueue_one(run: Run, client: InMemoryClient) -> None:
    """The key and the two ids; `--company` is short for `--company-id`."""
    for company in ("--company-id", "--company"):
        result = run("enqueue", "photos/1.jpg", "--meta-id", "-1", company, "7")
        assert (result.exit_code, result.stdout) == (0, "enqueued 1 event in 1 message\n")
    assert client.events == [{"object_key": "photos/1.jpg", "meta_id": -1, "company_id": 7}] * 2
    assert client.closed


def test_enqueue_a_file(run: Run, client: InMemoryClient, tmp_path: Path) -> None:
    """The suffix tells the format, and --json prints the summary alone."""
    path = tmp_path / "uploads.CSV"
    path.write_text("meta_id,company_id,object_key\n1,7,a.jpg\n2,7,b.jpg\n3,7,c.jpg\n", encoding="utf-8")
    result = run("enqueue", "--file", str(path), "--batch-size", "2", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == {"events": 3, "batches": 2, "rejected": 0}
    assert [event["object_key"] for event in client.events] == ["a.jpg", "b.jpg", "c.jpg"]
    assert client.batch_sizes == [2]


def test_enqueue_the_standard_input(run: Run, client: InMemoryClient) -> None:
    """JSONL unless told otherwise."""
    assert run("enqueue", "-f", "-", stdin=b'{"object_key": "a", "meta_id": 1, "company_id": 7}').exit_code == 0
    csv = b"object_key,meta_id,company_id\nb,2,7\n"
    assert run("enqueue", "-f", "-", "--format", "csv", stdin=csv).exit_code == 0
    assert [event["meta_id"] for event in client.events] == [1, 2]


def test_bad_lines_are_told_and_the_others_enqueued(run: Run, client: InMemoryClient, tmp_path: Path) -> None:
    """`FILE:LINE: reason` on the standard error, exit code 1, and the summary says how many."""
    path = tmp_path / "uploads.csv"
    path.write_bytes(b"object_key,meta_id,company_id\na.jpg,1,7\nb.jpg,two,7\n\xff,3,7\nd.jpg,4,7\n")
    result = run("enqueue", "--file", str(path))
    assert result.exit_code == 1
    assert [event["meta_id"] for event in client.events] == [1, 4]
    complaints = result.stderr.splitlines()
    assert complaints[0].startswith(f"{path}:3: meta_id: ")
    assert complaints[1] == f"{path}:4: not UTF-8: byte 1 of the line"
    assert len(complaints) == 2
    assert result.stdout == "enqueued 2 events in 1 message; 2 lines left out\n"


def test_bad_lines_of_the_standard_input(run: Run) -> None:
    """It has a name too; and --json keeps the standard output clean."""
    result = run("enqueue", "-f", "-", "--json", stdin=b"{\n")
    assert result.exit_code == 1
    assert result.stderr.startswith("<stdin>:1: not JSON: ")
    assert json.loads(result.stdout) == {"events": 0, "batches": 0, "rejected": 1}


def test_many_bad_lines_are_told_only_at_first(run: Run, client: InMemoryClient, tmp_path: Path) -> None:
    """Twenty, and then how to have them all; the summary counts."""
    path = tmp_path / "uploads.jsonl"
    path.write_text('{"object_key": "a.jpg", "meta_id": 1, "company_id": 7}\n' + "{\n" * 1234, encoding="utf-8")
    result = run("enqueue", "--file", str(path))
    assert result.exit_code == 1
    complaints = result.stderr.splitlines()
    assert [line.split(":")[1] for line in complaints[:-1]] == [str(number) for number in range(2, 22)]
    assert complaints[-1] == f"{path}: further bad lines are only counted; --rejects FILE keeps them all"
    assert result.stdout == "enqueued 1 event in 1 message; 1,234 lines left out\n"
    assert len(client.events) == 1


def test_bad_lines_go_to_a_file(run: Run, client: InMemoryClient, tmp_path: Path) -> None:
    """With number, reason and themselves, whatever is in them; nothing else is told, and what was in it is gone."""
    path, rejects = tmp_path / "uploads.csv", tmp_path / "bad.jsonl"
    rejects.write_text("of an earlier run\n" * 100, encoding="utf-8")
    bad = [b'"open,1,7', b"\xff,2,7\r", "\u2028ключ,x,7".encode(), b"y" * 70_000 + b",3,7"]
    path.write_bytes(b"\n".join([b"object_key,meta_id,company_id", b"a.jpg,1,7", *bad, b"b.jpg,2,7", b""]))
    result = run("enqueue", "--file", str(path), "--rejects", str(rejects))
    assert (result.exit_code, result.stderr) == (1, "")
    assert result.stdout == f"enqueued 2 events in 1 message; 4 lines left out, see {rejects}\n"
    assert [event["object_key"] for event in client.events] == ["a.jpg", "b.jpg"]
    told = [json.loads(line) for line in rejects.read_bytes().split(b"\n")[:-1]]
    assert [line["line"] for line in told] == [3, 4, 5, 6]
    assert [line["text"] for line in told] == ['"open,1,7', "\\xff,2,7", "\u2028ключ,x,7", "y" * 8000]
    assert [line["reason"].split(":")[0] for line in told] == [
        "not CSV",
        "not UTF-8",
        "meta_id",
        "longer than 65,536 bytes",
    ]


def test_without_bad_lines_the_file_is_empty(run: Run, tmp_path: Path) -> None:
    """It tells of this run, not of the one before."""
    rejects = tmp_path / "bad.jsonl"
    rejects.write_text("of an earlier run\n", encoding="utf-8")
    good = b'{"object_key": "a", "meta_id": 1, "company_id": 7}\n'
    result = run("enqueue", "--file", "-", "--rejects", str(rejects), "--json", stdin=good)
    assert (result.exit_code, rejects.read_text(encoding="utf-8")) == (0, "")
    assert json.loads(result.stdout) == {"events": 1, "batches": 1, "rejected": 0}


def test_half_a_character_is_written_too() -> None:
    """JSON may escape one, and a reason may repeat it: the file is UTF-8 all the same."""
    written = BytesIO()
    Rejections(None, written, print, "")(1, "\ud800: no such field", b"{}")
    assert json.loads(written.getvalue().decode())["reason"] == "\ud800: no such field"


def test_a_file_of_bad_lines_that_cannot_be_written(run: Run, client: InMemoryClient, tmp_path: Path) -> None:
    """Known before anything is enqueued; or, where the disk is full, told in one line."""
    path = tmp_path / "uploads.jsonl"
    path.write_text("{\n", encoding="utf-8")
    link = tmp_path / "link"
    link.symlink_to(path)
    for wrong in (tmp_path / "nowhere" / "bad", tmp_path, path, link):
        result = run("enqueue", "--file", str(path), "--rejects", str(wrong))
        assert (result.exit_code, path.read_text(encoding="utf-8")) == (2, "{\n")
    one = ("a.jpg", "--meta-id", "1", "--company-id", "7")
    assert run("enqueue", *one, "--rejects", str(tmp_path / "bad")).exit_code == 2
    assert not (tmp_path / "bad").exists()
    assert client.events == []
    result = run("enqueue", "--file", str(path), "--rejects", "/dev/full")
    assert (result.exit_code, result.stderr) == (
        1,
        "lookalike: /dev/full: No space left on device; stopped at line 1\n",
    )


def test_a_bad_header(run: Run, tmp_path: Path) -> None:
    """One line, which names the file."""
    path = tmp_path / "uploads.csv"
    path.write_text("key,id\na,1\n", encoding="utf-8")
    result = run("enqueue", "--file", str(path))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"lookalike: {path}: line 1: the header names the columns")


def test_the_wait_for_a_backlog_is_bounded_if_asked(run: Run, client: InMemoryClient) -> None:
    """`--wait` is in seconds; without it the wait has no end."""
    assert run("enqueue", "-f", "-", stdin=b"").exit_code == 0
    assert run("enqueue", "-f", "-", "--wait", "2.5", stdin=b"").exit_code == 0
    assert client.waits == [None, 2.5]


def test_the_bar_says_that_it_waits() -> None:
    """And how long the backlog is; then it goes on."""
    with Progress(disable=True) as progress:
        bar = Bar(progress, None)
        bar.waiting(12345)
        assert progress.tasks[0].description == "waiting: 12,345 outstanding"
        bar.enqueued(100)
        assert (progress.tasks[0].description, bar.events) == ("enqueuing", 100)


def test_a_backlog_refuses_one(run: Run, client: InMemoryClient) -> None:
    """One line, and exit code 1."""
    client.error = Overloaded("too many")
    result = run("enqueue", "a.jpg", "--meta-id", "1", "--company-id", "7")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "lookalike: too many\n")


def test_redis_fails_on_the_way(run: Run, client: InMemoryClient) -> None:
    """One line, no traceback."""
    client.error = Interrupted("Redis is\ndown; 100 events are enqueued", accepted=100)
    result = run("enqueue", "-f", "-", stdin=b'{"object_key": "a", "meta_id": 1, "company_id": 7}\n')
    assert result.exit_code == 1
    assert result.stderr == "lookalike: Redis is down; 100 events are enqueued\n"
    assert client.closed


def test_interrupted_by_hand(run: Run, client: InMemoryClient) -> None:
    """Exit code 130, and how far it came."""
    client.error = KeyboardInterrupt()
    result = run("enqueue", "-f", "-", stdin=b'{"object_key": "a", "meta_id": 1, "company_id": 7}\n')
    assert result.exit_code == 130
    assert result.stderr == "lookalike: interrupted; enqueued until then: 1 event\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["enqueue"],
        ["enqueue", "a.jpg"],
        ["enqueue", "a.jpg", "--meta-id", "1"],
        ["enqueue", "a.jpg", "--meta-id", "one", "--company-id", "7"],
        ["enqueue", "a.jpg", "--file", "-"],
        ["enqueue", "--file", "-", "--company-id", "7"],
        ["enqueue", "--file", "/nowhere/uploads.csv"],
        ["enqueue", "--file", "/dev/null"],
        ["enqueue", "--file", "-", "--batch-size", "101"],
        ["enqueue", "--file", "-", "--format", "xml"],
        ["enqueue", "--file", "-", "--rejects", "-"],
        ["enqueue", "--file", "-", "--wait", "-1"],
        ["search", "--company-id", "7"],
        ["search", "--key", "a.jpg"],
        ["search", "--key", "a.jpg", "--meta-id", "1", "--company-id", "7"],
        ["search", "--key", "a.jpg", "--company-id", "7", "--limit", "0"],
        ["search", "--image", "/nowhere/cat.png", "--company-id", "7"],
        ["delete", "--company-id", "7"],
        ["delete", "1"],
        ["nonsense"],
    ],
)
def test_wrong_usage(run: Run, client: InMemoryClient, arguments: list[str]) -> None:
    """Exit code 2, and nothing is done."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert (client.events, client.searches, client.deleted) == ([], [], [])
    assert "Traceback" not in result.stderr


def test_search_passes_its_options_on(run: Run, client: InMemoryClient) -> None:
    """Each to its argument."""
    result = run(
        *("search", "--key", "a.jpg", "--company", "7", "--limit", "5", "--max-distance", "0", "--fresh"),
        *("--hash", "phash", "--flat", "--members", "3", "--low-quality", "--verify", "--timeout", "3"),
    )
    assert result.exit_code == 0
    assert client.searches == [
        {
            "object_key": "a.jpg",
            "image": None,
            "vector": None,
            "meta_id": None,
            "company_id": 7,
            "all_companies": False,
            "limit": 5,
            "max_distance": 0,
            "max_chance": None,
            "fresh": True,
            "hash": "phash",
            "collapse": False,
            "members": 3,
            "low_quality": True,
            "verify": True,
            "timeout": 3.0,
        }
    ]
    assert result.stdout == "nothing looks like it (ahash)\n"


def test_search_by_each_kind(run: Run, client: InMemoryClient, tmp_path: Path) -> None:
    """A file, the standard input, a hash, an id."""
    (tmp_path / "cat.png").write_bytes(b"PNG")
    assert run("search", "--image", str(tmp_path / "cat.png"), "--company-id", "7").exit_code == 0
    assert run("search", "--image", "-", "--company-id", "7", stdin=b"GIF").exit_code == 0
    assert run("search", "--vector", "ffd8", "--all-companies").exit_code == 0
    assert run("search", "--meta-id", "5", "--company-id", "7").exit_code == 0
    assert [search["image"] for search in client.searches] == [b"PNG", b"GIF", None, None]
    assert client.searches[2]["vector"] == "ffd8"
    assert client.searches[2]["all_companies"] is True
    assert client.searches[3]["meta_id"] == 5


def test_search_prints_what_the_task_returns(run: Run, client: InMemoryClient) -> None:
    """With --json, exactly that."""
    client.matches = [MATCH]
    result = run("search", "--key", "a.jpg", "--company-id", "7", "--json")
    assert json.loads(result.stdout) == {"hash": "ahash", "matches": [MATCH]}
    assert result.stdout.count("\n") == 1


def test_search_prints_a_table(run: Run, client: InMemoryClient) -> None:
    """With the key as it is, markup and all."""
    client.matches = [MATCH, MATCH | {"object_key": "long/" * 100, "meta_id": 2**63 - 1}]
    result = run("search", "--key", "a.jpg", "--company-id", "7")
    assert "2 matches by ahash" in result.stdout
    assert "photos/[red]1[/red].jpg" in result.stdout
    assert "long/" * 100 in result.stdout
    assert "9223372036854775807" in result.stdout
    assert "0.0032" in result.stdout
    assert "1,234" in result.stdout


def test_search_says_what_was_verified(run: Run, client: InMemoryClient) -> None:
    """In words."""
    client.matches = [MATCH | {"kind": "rotated_or_mirrored", "verified_distance": 4, "orientation": "mirrored"}]
    assert "rotated or mirrored" in run("search", "--key", "a.jpg", "--company-id", "7", "--verify").stdout


def test_an_error_is_one_line(run: Run, client: InMemoryClient) -> None:
    """On the standard error, with exit code 1; a key in it cannot colour the terminal."""
    client.error = QueryNotFound("a\x1b[31m.jpg: no such object")
    result = run("search", "--key", "a.jpg", "--company-id", "7")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "lookalike: a\\x1b[31m.jpg: no such object\n"


def test_delete(run: Run, client: InMemoryClient) -> None:
    """Several ids of one company."""
    result = run("delete", "1", "2", "3", "--company", "7")
    assert (result.exit_code, result.stdout) == (0, "deleted 2 of 3\n")
    assert client.deleted == [([{"meta_id": number, "company_id": 7} for number in (1, 2, 3)], 30.0)]
    assert json.loads(run("delete", "1", "--company-id", "7", "--json").stdout) == {"deleted": 0}


def test_status(run: Run, client: InMemoryClient) -> None:
    """One object in JSON; a table otherwise; an error is an error."""
    assert json.loads(run("status", "--json").stdout) == {
        "outstanding": 12345,
        "oldest_seconds": 61.5,
        "dead": 2,
        "queues": {"ingest": 4, "search": 0},
        "collections": {"images_ahash": 1000},
        "workers": 3,
        "fuses": [],
    }
    table = run("status").stdout
    assert "12,345" in table
    assert "collection images_ahash" in table
    client.error = ServiceUnavailable("no Redis")
    assert run("status", "--json").exit_code == 1


def test_status_names_who_has_stopped(run: Run, client: InMemoryClient) -> None:
    """Worker, cause and reason stand above the table, harmless to a terminal, and in the JSON."""
    since = "2027-01-15T08:00:00.000+00:00"
    client.fuses = [BlownFuse("ingest@a", "misconfigured", "OSS says 403 \x1b[2J", since)]
    printed = run("status").stdout
    assert f"ingest@a has stopped since {since} (misconfigured): OSS says 403 \\x1b[2J\n" in printed
    assert printed.index("ingest@a") < printed.index("outstanding events")
    assert json.loads(run("status", "--json").stdout)["fuses"] == [
        {"worker": "ingest@a", "cause": "misconfigured", "why": "OSS says 403 \x1b[2J", "since": since}
    ]


def test_status_as_metrics(run: Run, client: InMemoryClient) -> None:
    """Every number is a gauge that a parser of Prometheus' format reads back; what is quoted is escaped."""
    client.fuses = [BlownFuse('in"gest@a', "dead_share", "300 of the last 500", "2027-01-15T08:00:00.000+00:00")]
    families = {family.name: family for family in text_string_to_metric_families(run("status", "--prometheus").stdout)}
    assert {family.type for family in families.values()} == {"gauge"}
    found = {(name, *one.labels.values()): one.value for name, family in families.items() for one in family.samples}
    assert found == {
        ("lookalike_outstanding_events",): 12345,
        ("lookalike_oldest_event_seconds",): 61.5,
        ("lookalike_dead_letters",): 2,
        ("lookalike_workers",): 3,
        ("lookalike_queue_messages", "ingest"): 4,
        ("lookalike_queue_messages", "search"): 0,
        ("lookalike_collection_rows", "images_ahash"): 1000,
        ("lookalike_fuse_blown", "dead_share", 'in"gest@a'): 1,
    }
    assert run("status", "--prometheus", "--json").exit_code == 2


@pytest.mark.parametrize("command", [[], ["enqueue"], ["search"], ["delete"], ["status"], ["dead"]])
def test_help(run: Run, command: list[str]) -> None:
    """Every command explains itself."""
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Usage: " in result.stdout


def test_help_names_every_command(run: Run) -> None:
    """Also those of other packages, whether or not they can be loaded."""
    page = run("--help").stdout
    assert all(f" {name} " in page for name in ("enqueue", "search", "delete", "status", "dead", "up", "down", "demo"))


def test_version(run: Run) -> None:
    """The version, and nothing else."""
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout.strip().replace(".", "").isalnum()


RECORD = {"eventName": "ObjectCreated:PutObject", "oss": {"object": {"key": "a.png", "size": 1}}}


@pytest.mark.parametrize(
    ("content", "counts", "complaints"),
    [
        (json.dumps({"events": [RECORD, RECORD]}), (2, 0, 0), ""),
        (json.dumps({"events": [RECORD]}, indent=2), (1, 0, 0), ""),
        ("\n".join([json.dumps(RECORD), "", json.dumps({"events": [{"eventName": "x"}]})]), (1, 0, 1), ""),
        ("\n".join([json.dumps(RECORD), "no", json.dumps(RECORD)]), (2, 1, 0), ":2: neither JSON"),
        ("\n".join(["no", json.dumps(RECORD)]), (1, 1, 0), ":1: neither JSON"),
        (json.dumps({"events": [RECORD, {"eventName": "ObjectCreated:PutObject"}]}), (1, 1, 0), ":1: oss: "),
        ("object=a.png&company_id=7", (1, 0, 0), ""),
        ("<a><Message>\n" + json.dumps(RECORD) + "\n</Message></a>\n", (1, 0, 0), ""),
        ("", (0, 0, 0), ""),
    ],
)
def test_deliveries_of_oss_are_enqueued(
    run: Run, client: InMemoryClient, tmp_path: Path, content: str, counts: tuple[int, int, int], complaints: str
) -> None:
    """One on each line, or one over all of them; what cannot be read is told of by its line."""
    file = tmp_path / "events"
    file.write_text(content, encoding="utf-8")
    done = run("enqueue", "--file", str(file), "--format", "oss-event", "--json")
    events, rejected, ignored = counts
    told = json.loads(done.stdout)
    assert (told["events"], told["rejected"], told["ignored"]) == counts
    assert done.exit_code == (1 if rejected else 0)
    assert complaints in done.stderr
    assert [event["object_key"] for event in client.events] == ["a.png"] * events
    assert all(event["source"] == "oss" for event in client.events)
    assert ignored == told["ignored"]


def test_deliveries_may_bring_their_template(run: Run, client: InMemoryClient, tmp_path: Path) -> None:
    """In place of the workers' own; other events have their ids."""
    file = tmp_path / "events"
    file.write_text(json.dumps(RECORD), encoding="utf-8")
    template = ("--key-template", "{company_id}/{meta_id}.png")
    assert run("enqueue", "--file", str(file), "--format", "oss-event", *template).exit_code == 0
    assert client.events[0]["key_template"] == template[1]
    assert run("enqueue", "--file", str(file), "--format", "jsonl", *template).exit_code == 2
    assert run("enqueue", "--file", str(file), "--format", "oss-event", "--key-template", "{x}").exit_code == 2


def test_listen_says_what_is_missing(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Before anything is opened."""
    monkeypatch.setenv("LOOKALIKE_BROKER_URL", "redis://127.0.0.1:1")
    for name in ("LOOKALIKE_LISTEN_SECRETS", "LOOKALIKE_CALLBACK_PUBLIC_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert "LOOKALIKE_LISTEN_SECRETS: not set" in run("listen").stderr
    monkeypatch.setenv("LOOKALIKE_LISTEN_SECRETS", "short")
    assert "at least 16 printable" in run("listen").stderr
    monkeypatch.setenv("LOOKALIKE_LISTEN_SECRETS", "long-enough-for-one,long-enough-for-two")
    (tmp_path / "key.pem").write_text("no key")
    monkeypatch.setenv("LOOKALIKE_CALLBACK_PUBLIC_KEY", str(tmp_path / "key.pem"))
    done = run("listen")
    assert done.exit_code == 2
    assert "LOOKALIKE_CALLBACK_PUBLIC_KEY" in done.stderr


class Backfilled(InMemoryClient):
    """Has so many objects under each prefix."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[dict[str, Any]] = []

    def backfill(self, prefix: str, *, progress: Callable[[Any], None], **asked: Any) -> dict[str, Any]:
        """Enqueue them in two parts."""
        self._answer()
        self.asked.append({"prefix": prefix, **asked})
        result: dict[str, Any] = {}
        for read in (1, 2):
            result = {
                "prefix": prefix,
                "read": read,
                "enqueued": read,
                "unmapped": 0,
                "skipped": 1,
                "bytes": 10 * read,
                "last_key": prefix + str(read),
                "done": read == 2,
            }
            progress(result)
        return result

    def outstanding(self) -> int:
        """Nothing."""
        return 0


def backfill(client: Backfilled, *arguments: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(program, ["backfill", *arguments], obj=lambda: client)


def test_backfill() -> None:
    """All options arrive; several prefixes share the rate, and their counts are added."""
    client = Backfilled()
    done = backfill(
        client,
        *("--prefix", "a/", "--prefix", "b/", "--since", "2026-01-31T12:00:00Z", "--limit", "5", "--rate", "100"),
        *("--key-template", "{company_id}/{meta_id}", "--skip-unmapped", "--dry-run", "--restart", "--json"),
    )
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert {name: told[name] for name in ("read", "enqueued", "skipped", "bytes")} == {
        "read": 4,
        "enqueued": 4,
        "skipped": 2,
        "bytes": 40,
    }
    assert [one["prefix"] for one in told["prefixes"]] == ["a/", "b/"]
    (asked, _) = sorted(client.asked, key=lambda one: one["prefix"])
    assert asked["since"].isoformat() == "2026-01-31T12:00:00+00:00"
    assert {name: asked[name] for name in ("limit", "rate", "dry_run", "skip_unmapped", "restart", "key_template")} == {
        "limit": 5,
        "rate": 50.0,
        "dry_run": True,
        "skip_unmapped": True,
        "restart": True,
        "key_template": "{company_id}/{meta_id}",
    }


def test_backfill_tells_what_it_did() -> None:
    """In a line for each prefix."""
    assert backfill(Backfilled()).stdout == "2 objects: 2 events enqueued (20 bytes), 1 left out\n"
    assert backfill(Backfilled(), "--prefix", "a/", "--dry-run").stdout.startswith("a/: 2 objects: 2 events to enqueue")


def test_backfill_refuses_what_cannot_be_meant() -> None:
    """Before it asks anybody."""
    client = Backfilled()
    assert backfill(client, "--prefix", "a", "--prefix", "a/b").exit_code == 2
    assert backfill(client, "--since", "yesterday").exit_code == 2
    assert backfill(client, "--key-template", "{x}").exit_code == 2
    assert client.asked == []


def test_backfill_fails_with_what_a_prefix_failed_with() -> None:
    """In one line."""
    client = Backfilled()
    client.error = ServiceUnavailable("OSS says 403 AccessDenied")
    done = backfill(client, "--prefix", "a/", "--prefix", "b/")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "lookalike: OSS says 403 AccessDenied\n"


class Audited(InMemoryClient):
    """Finds one difference of each kind that it was told."""

    def __init__(self, *kinds: DifferenceKind) -> None:
        super().__init__()
        self.kinds = kinds
        self.asked: dict[str, Any] = {}

    def audit(
        self, prefix: str, *, found: Callable[[Difference], None], progress: Callable[[str, int], None], **asked: Any
    ) -> AuditCounts:
        """Find them."""
        self._answer()
        self.asked = {"prefix": prefix, **asked}
        progress("rows", 5)
        progress("objects", 6)
        counts = AuditCounts(rows=5, objects=6, looked=2)
        for n, kind in enumerate(self.kinds):
            found(Difference(kind, f"{kind}.png", 7, n))
            counts.differences[kind] += 1
        return counts

    def enqueue_many(self, events: Iterable[Any], *, progress: Any, waiting: Any, **_: Any) -> EnqueueResult:
        """Remember events."""
        assert waiting is not None
        self.events += [event.model_dump() for event in events]
        progress(len(self.events))
        return EnqueueResult(len(self.events), 1)

    def outstanding(self) -> int:
        """Nothing."""
        return 0


def audit(client: Audited, *arguments: str, answer: str | None = None) -> Result:
    """Run the command."""
    lists = () if "--out" in arguments else ("--no-lists",)
    return CliRunner().invoke(program, ["audit", *arguments, *lists], obj=lambda: client, input=answer)


def test_audit_counts_and_lists(tmp_path: Path) -> None:
    """As a table or as JSON; the lists are written where that is wanted, and mended is nothing."""
    client = Audited(*DifferenceKind)
    done = audit(client, "--out", str(tmp_path / "new" / "lists"))
    assert done.exit_code == 0, done.stderr
    assert "6 objects and 5 rows compared" in done.stdout
    assert "--fix mends" in done.stdout
    assert {file.name: len(file.read_text().splitlines()) for file in (tmp_path / "new" / "lists").iterdir()} == {
        f"{kind}.jsonl": 1 for kind in DifferenceKind
    }
    told = json.loads(audit(client, "--json").stdout)
    assert told == {"rows": 5, "objects": 6, "superseded": 0, "looked": 2} | {kind.value: 1 for kind in DifferenceKind}
    assert client.events == []


def test_audit_fixes_what_events_mend() -> None:
    """What is gone first, on the condition that it is; the rest is left."""
    client = Audited(*DifferenceKind)
    done = audit(client, "--fix", "--yes", "--json")
    assert json.loads(done.stdout)["fixed"] == 3
    assert [(event["object_key"], event.get("when")) for event in client.events] == [
        ("orphaned.png", "removed"),
        ("changed.png", None),
        ("missing.png", None),
    ]


@pytest.mark.parametrize(("answer", "fixed"), [("y\n", 2), ("n\n", 0)])
def test_audit_asks_first(answer: str, fixed: int) -> None:
    """Unless --yes."""
    client = Audited(DifferenceKind.MISSING, DifferenceKind.ORPHANED)
    done = audit(client, "--fix", answer=answer)
    assert done.exit_code == 0
    assert "Enqueue 1 event and remove 1 row whose objects are gone?" in done.stderr
    assert len(client.events) == fixed


def test_audit_asks_nothing_where_nothing_differs() -> None:
    """And ends well; --check tells whether anything did."""
    assert audit(Audited(), "--fix", "--check").exit_code == 0
    assert audit(Audited(DifferenceKind.UNMAPPED), "--fix").exit_code == 0
    assert audit(Audited(DifferenceKind.UNMAPPED), "--check").exit_code == 1


def test_audit_passes_on_what_is_asked(tmp_path: Path) -> None:
    """All options."""
    client = Audited()
    template = "{company_id}/{meta_id}"
    options = ("--prefix", "a/", "--hash", "phash", "--key-template", template, "--deep", "--work-dir", str(tmp_path))
    assert audit(client, *options).exit_code == 0
    assert client.asked == {
        "prefix": "a/",
        "profile": "phash",
        "key_template": template,
        "deep": True,
        "work_dir": tmp_path,
        "timeout": 60.0,
    }
    (tmp_path / "file").touch()
    assert audit(client, "--out", str(tmp_path / "file" / "x")).exit_code == 1


def test_listen_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only the client is there."""
    monkeypatch.setattr("producer.cli.listen.find_spec", lambda name: None if name == "uvicorn" else name)
    done = run("listen")
    assert (done.exit_code, done.stderr) == (
        1,
        "lookalike: listening needs uvicorn: pip install 'lookalike[listener]'\n",
    )
