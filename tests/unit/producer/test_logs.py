"""Logs are data: one line, fixed event names, and no secret in any of them."""

import json
import logging
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
import structlog

from producer import logs
from producer.settings import LogSettings

ENVIRONMENT = {
    "LOOKALIKE_BROKER_URL": "redis://:broker%2Fpassword@localhost/0",
    "LOOKALIKE_LEDGER_URL": "redis://user:ledger-password@localhost/2",
    "LOOKALIKE_MILVUS_TOKEN": "root:milvus-password",
    "LOOKALIKE_LOG_FORMAT": "json",
    "OSS_ACCESS_KEY_SECRET": 'oss-"secret"-ключ',
    "OSS_SESSION_TOKEN": "oss-session-token",
}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[StringIO]:
    """What a process writes whose logging is a worker's; undone when the test ends."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = StringIO()
    logs.configure(LogSettings.from_env(), stream)
    yield stream
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(written: StringIO) -> list[dict[str, object]]:
    """The lines."""
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_a_line_is_an_object_with_what_is_bound(written: StringIO) -> None:
    """Event, level, time, the task's context, and the line's own data."""
    structlog.contextvars.bind_contextvars(task_id="t", company_id=7)
    structlog.get_logger("worker.x").warning("event_dead", meta_id=5, object_key="图.jpg")
    (line,) = lines(written)
    assert line.pop("timestamp")
    assert line == {
        "event": "event_dead",
        "level": "warning",
        "logger": "worker.x",
        "task_id": "t",
        "company_id": 7,
        "meta_id": 5,
        "object_key": "图.jpg",
    }


def test_lines_of_libraries_have_the_same_form(written: StringIO) -> None:
    """What Celery logs carries the task's context too, and an error its traceback as data."""
    structlog.contextvars.bind_contextvars(task_id="t")
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("celery.worker").exception("a task failed")
    (line,) = lines(written)
    assert (line["event"], line["task_id"], line["level"]) == ("a task failed", "t", "error")
    assert "broken" in json.dumps(line["exception"])


@pytest.mark.parametrize(
    "secret", ['oss-"secret"-ключ', "oss-session-token", "milvus-password", "broker/password", "ledger-password"]
)
def test_no_secret_leaves(written: StringIO, secret: str) -> None:
    """Not in an event's data, not in a library's message, not within a traceback."""
    log = structlog.get_logger()
    log.info("connected", address=f"redis://:{secret}@localhost", nested={"deep": [secret]})
    logging.getLogger("oss2").warning("refused %s", secret)
    try:
        raise ValueError(f"bad token {secret}")
    except ValueError:
        log.exception("failed")
    text = written.getvalue()
    assert len(text.splitlines()) == 3
    assert secret not in text
    assert json.dumps(secret)[1:-1] not in text
    assert "ENVIRONMENT" not in text, "tracebacks show no variables"


def test_no_secret_is_in_what_others_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """What leaves the process by another way than the log is masked as the log is."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert logs.without_secrets("oss-session-token for broker/password") == "*** for ***"


def test_the_password_of_every_address_is_masked() -> None:
    """Of several in one variable, too."""
    several = "sentinel://:first-password@a:1/0;sentinel://:second%2Fpassword@b:2/0"
    found = logs.secrets({"LOOKALIKE_BROKER_URL": several})
    assert {"first-password", "second%2Fpassword", "second/password"} <= found


def test_what_came_from_files_is_masked_too(tmp_path: Path) -> None:
    """The content of `NAME_FILE`, and Redis' password as an address has it. A file that is not there is no error."""
    given = {
        "LOOKALIKE_MILVUS_TOKEN": "lookalike:in-a-file",
        "LOOKALIKE_REDIS_PASSWORD": "sl/ash@file",
        "LOOKALIKE_LISTEN_SECRETS": "first-of-two,second-of-two",
        "FLOWER_BASIC_AUTH": "flower:petals",
    }
    for name, value in given.items():
        (tmp_path / name).write_text(f"{value}\n")
    environment = {f"{name}_FILE": str(tmp_path / name) for name in given} | {"OSS_SESSION_TOKEN_FILE": "/not/there"}
    expected = {"in-a-file", "sl/ash@file", "sl%2Fash%40file", "first-of-two", "second-of-two", "petals"}
    assert logs.secrets(environment) >= expected


def test_what_sdks_narrate_is_left_out(written: StringIO) -> None:
    """A request of the SDK is no line; its warning is."""
    logging.getLogger("urllib3.connectionpool").info("GET /pictures/a.jpg")
    logging.getLogger("urllib3.connectionpool").warning("connection pool is full")
    assert [line["event"] for line in lines(written)] == ["connection pool is full"]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"company_id": 7, "query": {}}, 7),
        ({"events": [{"company_id": 7}, {"company_id": 7}]}, 7),
        ({"events": [{"company_id": 9}, {"company_id": 7}, "x", {"company_id": "no"}]}, [7, 9]),
        ({"items": [{"company_id": 1}]}, 1),
        ({"events": []}, None),
        ({"events": "all"}, None),
        ({}, None),
    ],
)
def test_a_tasks_companies_are_read_from_its_message(message: dict[str, object], expected: object) -> None:
    """One company is itself, several are a list, and a message that names none is not guessed at."""
    assert logs.companies(message) == expected
