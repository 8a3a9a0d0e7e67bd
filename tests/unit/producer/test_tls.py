"""Addresses of Redis with TLS: each is verified by whoever reads it, or refused."""

import ssl
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection
from redis import ConnectionPool

from producer import ClientSettings, tls
from producer.app import make_app
from producer.settings import SettingsError


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A file that is there, with characters that an address escapes."""
    file = tmp_path / "our ca.pem"
    file.touch()
    return file


@pytest.mark.parametrize(
    "options", ["", "?ssl_cert_reqs=required", "?ssl_cert_reqs=CERT_REQUIRED&ssl_check_hostname=true"]
)
def test_an_address_with_tls_says_that_it_is_verified(options: str) -> None:
    """However little it says."""
    assert tls.verifying(f"rediss://a:b@host:6379/0{options}") == "rediss://a:b@host:6379/0?ssl_cert_reqs=required"


@pytest.mark.parametrize("url", ["redis://host:6379/0", "unix:///run/redis.sock?db=2", "amqp://a:b@host//"])
def test_other_addresses_stay_as_they_are(url: str) -> None:
    """Without TLS, or of other brokers."""
    assert tls.verifying(url) == url
    assert tls.broker_options(url) is None


def test_rabbitmq_with_tls_is_verified_too() -> None:
    """The certificate, and by what kombu puts in, the host's name."""
    assert tls.verifying("amqps://a:b@host//") == "amqps://a:b@host//"
    assert tls.broker_options("amqps://a:b@host//") == {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None}


@pytest.mark.parametrize(
    "url",
    [
        "rediss://host/0?ssl_cert_reqs=none",
        "rediss://host/0?ssl_cert_reqs=CERT_NONE",
        "rediss://host/0?ssl_cert_reqs=optional",
        "rediss://host/0?ssl_cert_reqs=",
        "rediss://host/0?ssl_check_hostname=false",
        "rediss://host/0?ssl_ca_certs=/not/there.pem",
        "redis://host/0?ssl_ca_certs=/etc/hosts",
    ],
)
def test_an_address_that_would_not_be_verified_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable, and not the password."""
    monkeypatch.setenv("LOOKALIKE_BROKER_URL", url.replace("//host", "//user:secret@host"))
    with pytest.raises(SettingsError, match=r"LOOKALIKE_BROKER_URL: .*ssl_") as refused:
        ClientSettings.from_env()
    assert "secret" not in str(refused.value)


def test_all_who_read_it_verify(authority: Path) -> None:
    """kombu, Celery's result backend, redis-py, and, by Celery's setting, Flower."""
    settings = ClientSettings.model_validate({"broker_url": f"rediss://user:word@host:1/0?ssl_ca_certs={authority}"})
    app = make_app("test", settings)
    wanted = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": str(authority)}
    assert app.conf.broker_use_ssl == wanted
    with Connection(settings.broker_url) as broker:
        assert broker.ssl == wanted
    backend: Any = app.backend
    pool = ConnectionPool.from_url(settings.ledger_url)
    for found in (backend.connparams, pool.connection_kwargs):
        assert found["ssl_ca_certs"] == str(authority)
        assert found["ssl_cert_reqs"] in {"required", ssl.CERT_REQUIRED}
        assert found["username"] == "user"
