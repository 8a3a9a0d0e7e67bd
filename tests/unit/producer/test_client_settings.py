"""Settings come from the environment, and an error names the variable and shows no value."""

import pytest

from producer import ClientSettings, SettingsError

SECRET = "open-sesame"  # noqa: S105 - what must not be shown


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start from an environment that says nothing."""
    for name in ClientSettings.model_fields:
        monkeypatch.delenv(f"LOOKALIKE_{name.upper()}", raising=False)


def refused(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    """Set variables, and return what is said of them."""
    for name, value in variables.items():
        monkeypatch.setenv(f"LOOKALIKE_{name}", value)
    with pytest.raises(SettingsError) as caught:
        ClientSettings.from_env()
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_one_address_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results and the ledger are where the broker is, unless they are elsewhere."""
    monkeypatch.setenv("LOOKALIKE_BROKER_URL", "redis://a/0")
    assert ClientSettings.from_env().ledger_url == "redis://a/0"
    assert ClientSettings.from_env().result_backend_url == "redis://a/0"
    monkeypatch.setenv("LOOKALIKE_LEDGER_URL", "rediss://b/1")
    monkeypatch.setenv("LOOKALIKE_RESULT_BACKEND_URL", "redis://c")
    settings = ClientSettings.from_env()
    assert (settings.broker_url, settings.result_backend_url, settings.ledger_url) == (
        "redis://a/0",
        "redis://c",
        "rediss://b/1?ssl_cert_reqs=required",
    )


@pytest.mark.parametrize(
    "url",
    [
        "sentinel://a:26379/0;sentinel://b:26379/0",
        "sentinel://a:26379;sentinel://b:26379",
        "amqp://user:password@a:5672/;amqp://user:password@b:5672/",
    ],
)
def test_several_addresses_in_one(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """As kombu and Celery write them; only what Redis is behind can have the ledger."""
    monkeypatch.setenv("LOOKALIKE_BROKER_URL", url)
    if url.startswith("amqp"):
        monkeypatch.setenv("LOOKALIKE_LEDGER_URL", "redis://c/0")
        monkeypatch.setenv("LOOKALIKE_RESULT_BACKEND_URL", "redis://c/1")
    assert ClientSettings.from_env().broker_url == url


def test_rabbitmq_needs_a_redis_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results and the ledger do not follow the broker there, and the error says so of both."""
    message = refused(monkeypatch, BROKER_URL="amqp://a//")
    assert "LOOKALIKE_RESULT_BACKEND_URL: " in message
    assert "LOOKALIKE_LEDGER_URL: " in message


def test_each_sentinel_has_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the first or any other finds the servers' password."""
    monkeypatch.setenv("LOOKALIKE_BROKER_URL", "sentinel://a:26379/0;sentinel://b:26379/0")
    monkeypatch.setenv("LOOKALIKE_REDIS_PASSWORD", "p;w")
    assert ClientSettings.from_env().ledger_url == "sentinel://:p%3Bw@a:26379/0;sentinel://:p%3Bw@b:26379/0"


@pytest.mark.parametrize("variables", [{}, {"BROKER_URL": ""}])
def test_nothing_is_set(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """Only the one that is needed is named; empty counts as not set."""
    assert refused(monkeypatch, **variables) == "LOOKALIKE_BROKER_URL: not set"


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}/1@host:6379/0",
        f"redis://user:1234/{SECRET}@host/0",
        f"redis://:{SECRET}#1@host/0",
        f"redis://host/{SECRET}",
        f"redis://host:{SECRET}/0",
        f"redis://{SECRET}@[::1/0",
        f"sentinel://a:26379/0;sentinel://b:{SECRET}/0",
        SECRET,
    ],
)
def test_an_address_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """A password that was not percent-encoded breaks an address, and no piece of it is shown."""
    message = refused(monkeypatch, BROKER_URL=url)
    assert message.startswith("LOOKALIKE_BROKER_URL: not an address")
    assert "LEDGER" not in message


def test_each_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is wrong is said at once."""
    message = refused(monkeypatch, RESULT_BACKEND_URL=f"file:///{SECRET}", LEDGER_URL=f"amqp://{SECRET}@host")
    assert "LOOKALIKE_BROKER_URL: not set" in message
    assert "LOOKALIKE_RESULT_BACKEND_URL: an address of Redis" in message
    assert "LOOKALIKE_LEDGER_URL: an address of Redis" in message


def test_another_broker_needs_a_ledger_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger is in Redis whatever the broker is."""
    assert "LOOKALIKE_LEDGER_URL" in refused(monkeypatch, BROKER_URL=f"amqp://u:{SECRET}@host//")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"OUTSTANDING_LOW": "100000"}, "LOOKALIKE_OUTSTANDING_LOW must be below LOOKALIKE_OUTSTANDING_HIGH"),
        ({"OUTSTANDING_HIGH": "50000"}, "LOOKALIKE_OUTSTANDING_LOW must be below LOOKALIKE_OUTSTANDING_HIGH"),
        ({"OUTSTANDING_MAX": "99999"}, "LOOKALIKE_OUTSTANDING_MAX must be at least LOOKALIKE_OUTSTANDING_HIGH"),
        (
            {"OUTSTANDING_LOW": "1", "OUTSTANDING_HIGH": "2", "OUTSTANDING_MAX": "99"},
            "LOOKALIKE_OUTSTANDING_MAX: Input should be greater than or equal to 100",
        ),
    ],
)
def test_watermarks_out_of_order(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str) -> None:
    """The error names both variables; a whole batch has to fit below the limit."""
    assert refused(monkeypatch, BROKER_URL="redis://a/0", **variables).startswith(message)


def test_watermarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The high one may be the limit."""
    monkeypatch.setenv("LOOKALIKE_BROKER_URL", "redis://a/0")
    for name, value in (("LOW", "0"), ("HIGH", "100"), ("MAX", "100")):
        monkeypatch.setenv(f"LOOKALIKE_OUTSTANDING_{name}", value)
    settings = ClientSettings.from_env()
    assert (settings.outstanding_low, settings.outstanding_high, settings.outstanding_max) == (0, 100, 100)


def test_settings_show_no_secrets() -> None:
    """They may be logged."""
    url = f"redis://:{SECRET}@host/0"
    settings = ClientSettings(broker_url=url, result_backend_url=url, ledger_url=url)
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)
