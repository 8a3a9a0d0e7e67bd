"""What a server may be started with, and how it tells the time."""

from pathlib import Path

import pytest

from devstack.oss import Credentials, ServerConfig
from devstack.oss.operations import is_valid_key
from devstack.oss.times import http_date, iso_basic, iso_date, parse_http_date, parse_signing_date


def test_secrets_are_not_shown() -> None:
    """Neither the credentials nor a configuration that has them show a secret."""
    config = ServerConfig(Path(), ("pictures",), Credentials("ak", "a-secret", "a-token"))
    assert "a-secret" not in repr(config)
    assert "a-token" not in repr(config)


@pytest.mark.parametrize(("key_id", "secret"), [("", "sk"), ("ak", "")])
def test_credentials_are_not_empty(key_id: str, secret: str) -> None:
    """A server that accepts empty credentials would accept everybody."""
    with pytest.raises(ValueError, match="must not be empty"):
        Credentials(key_id, secret)


@pytest.mark.parametrize("bucket", ["", "ab", "a" * 64, "Pictures", "-ab", "ab-", "a_b", "a.b", "../x"])
def test_bucket_names_follow_the_rules(bucket: str) -> None:
    """A name that OSS would not take is refused, and so is having no bucket."""
    with pytest.raises(ValueError, match="bucket"):
        ServerConfig(Path(), (bucket,), Credentials("ak", "sk"))
    with pytest.raises(ValueError, match="at least one bucket"):
        ServerConfig(Path(), (), Credentials("ak", "sk"))


@pytest.mark.parametrize(
    ("key", "valid"),
    [
        ("a", True),
        (" ", True),
        ("../../x", True),
        ("a" * 1023, True),
        ("猫" * 341, True),
        ("", False),
        ("a" * 1024, False),
        ("猫" * 342, False),
        ("/a", False),
        ("\\a", False),
    ],
)
def test_keys_follow_the_rules(key: str, *, valid: bool) -> None:
    """A key has 1 to 1,023 bytes of UTF-8 and starts with neither slash nor backslash."""
    assert is_valid_key(key) is valid


def test_dates_come_back() -> None:
    """Each way to write a time is read back as the same second."""
    assert parse_http_date(http_date(1_702_743_657)) == 1_702_743_657
    assert parse_signing_date(iso_basic(1_702_743_657)) == 1_702_743_657
    assert parse_signing_date(http_date(1_702_743_657)) == 1_702_743_657
    assert iso_date(1_702_743_657) == "2023-12-16T16:20:57.000Z"
    assert iso_date(1e18) == "1000000000000000000"


@pytest.mark.parametrize("value", [None, "", "yesterday", "20231216", "Sat, 99 Dec 2023 16:20:57 GMT"])
def test_what_is_no_date_is_none(value: str | None) -> None:
    """A malformed date is no date, rather than an error."""
    assert parse_signing_date(value) is None


def test_a_date_without_a_zone_is_utc() -> None:
    """HTTP dates are in UTC, also where -0000 says that the zone is not known."""
    assert parse_http_date("Sat, 16 Dec 2023 16:20:57 -0000") == 1_702_743_657
