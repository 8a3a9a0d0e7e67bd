"""A variable may stand in a file, which is how secrets come to containers."""

from pathlib import Path

import pytest

from producer.secret_files import SecretFileError, value_of
from producer.settings import ClientSettings, SettingsError

PASSWORD = "p/w:#%@é"  # noqa: S105 - what an address would have to percent-encode


@pytest.mark.parametrize(("content", "value"), [(b"word", "word"), (b"word\r\n", "word"), (b" a b \n\n", " a b ")])
def test_a_file_gives_its_text(tmp_path: Path, content: bytes, value: str) -> None:
    """Whole, but for the line break that editors leave."""
    file = tmp_path / "secret"
    file.write_bytes(content)
    assert value_of("NAME", {"NAME_FILE": str(file), "NAME": ""}) == value


def test_the_variable_itself_is_enough() -> None:
    """An empty one is none."""
    assert value_of("NAME", {"NAME": "word", "NAME_FILE": ""}) == "word"
    assert value_of("NAME", {"NAME": ""}) is None
    assert value_of("NAME", {}) is None


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"s\xff", "not text in UTF-8"),
        (b"s" * 70_000, "65,536"),
        (None, "No such"),
    ],
)
def test_a_file_that_is_no_secret_is_named(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    """With its variable, and nothing of what it holds."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SecretFileError, match=complaint) as caught:
        value_of("NAME", {"NAME_FILE": str(file)})
    assert str(caught.value).startswith(f"NAME_FILE: {file} ")
    assert "ss" not in str(caught.value).replace(str(file), "")


def test_both_are_one_too_many(tmp_path: Path) -> None:
    """Nobody has to guess which counts."""
    with pytest.raises(SecretFileError, match="NAME: set, and so is NAME_FILE"):
        value_of("NAME", {"NAME": "word", "NAME_FILE": str(tmp_path)})


def test_settings_come_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any of them, validated as ever."""
    (tmp_path / "url").write_text("redis://user@host:1/0\n")
    (tmp_path / "seconds").write_text("soon")
    monkeypatch.delenv("LOOKALIKE_BROKER_URL", raising=False)
    monkeypatch.setenv("LOOKALIKE_BROKER_URL_FILE", str(tmp_path / "url"))
    assert ClientSettings.from_env().broker_url == "redis://user@host:1/0"
    monkeypatch.setenv("LOOKALIKE_OVERDUE_SECONDS_FILE", str(tmp_path / "seconds"))
    with pytest.raises(SettingsError, match="LOOKALIKE_OVERDUE_SECONDS: "):
        ClientSettings.from_env()
    monkeypatch.setenv("LOOKALIKE_OVERDUE_SECONDS_FILE", str(tmp_path / "none"))
    with pytest.raises(SettingsError, match=r"LOOKALIKE_OVERDUE_SECONDS_FILE: .* cannot be read"):
        ClientSettings.from_env()


@pytest.mark.parametrize(
    ("url", "becomes"),
    [
        ("redis://host:1/0", "redis://:p%2Fw%3A%23%25%40%C3%A9@host:1/0"),
        ("redis://user@host:1/0", "redis://user:p%2Fw%3A%23%25%40%C3%A9@host:1/0"),
        ("rediss://user@host/1?a=b", "rediss://user:p%2Fw%3A%23%25%40%C3%A9@host/1?a=b&ssl_cert_reqs=required"),
        ("redis://user:own@host:1/0", "redis://user:own@host:1/0"),
        ("redis://:@host:1/0", "redis://:@host:1/0"),
        ("amqp://user@host/", "amqp://user@host/"),
    ],
)
def test_the_password_of_redis_is_given_apart(url: str, becomes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is: it is percent-encoded for each address that is of Redis and has none."""
    for name in ("RESULT_BACKEND_URL", "LEDGER_URL"):
        monkeypatch.setenv(f"LOOKALIKE_{name}", "redis://host:2/0")
    monkeypatch.setenv("LOOKALIKE_BROKER_URL", url)
    monkeypatch.setenv("LOOKALIKE_REDIS_PASSWORD", PASSWORD)
    settings = ClientSettings.from_env()
    assert settings.broker_url == becomes
    assert settings.ledger_url == settings.result_backend_url == "redis://:p%2Fw%3A%23%25%40%C3%A9@host:2/0"
    assert PASSWORD not in repr(settings)
