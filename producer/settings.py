"""Addresses, from the environment: `LOOKALIKE_BROKER_URL` and the rest, validated before anything connects."""

import os
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from contract import MAX_EVENTS, LookalikeError
from producer import secret_files
from producer.addresses import each_address

_BY_NUMBER = ("redis", "rediss", "sentinel")  # schemes whose path is the number of a database
_PREFIX = "LOOKALIKE_"


class SettingsError(LookalikeError, ValueError):
    """A variable of the environment is missing or cannot be used. The message names it."""


def _readable_url(url: str) -> str:
    # Whoever connects would fail on the port or the database, and its message would show a piece of the password.
    if not all(map(_readable, each_address(url))):
        raise ValueError(
            "not an address such as redis://:password@host:6379/0; in a password / ? # and @ are percent-encoded"
        )
    return url


def _readable(address: str) -> bool:
    try:
        parts = urlsplit(address)
        readable = bool(parts.scheme) and (parts.port is None or bool(parts.hostname))
    except ValueError:
        return False
    return readable and (parts.scheme not in _BY_NUMBER or re.fullmatch(r"/?[0-9]*", parts.path) is not None)


def _begins_with(*beginnings: str) -> Callable[[str], str]:
    def check(url: str) -> str:
        if not url.startswith(beginnings):
            raise ValueError(f"an address of Redis or Valkey, which begins with one of {', '.join(beginnings)}")
        return url

    return check


# repr=False: an address may carry a password, and a settings object may be logged.
Url = Annotated[str, Field(min_length=1, repr=False), AfterValidator(_readable_url)]
ResultUrl = Annotated[Url, AfterValidator(_begins_with("redis://", "rediss://", "redis+socket://", "sentinel://"))]
LedgerUrl = Annotated[Url, AfterValidator(_begins_with("redis://", "rediss://", "unix://", "sentinel://"))]


def _with_password(url: str, password: str) -> str:
    """Put the password into each address of Redis that has none; any other stays as it is."""
    return ";".join(_one_with_password(address, password) for address in each_address(url))


def _one_with_password(url: str, password: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in _BY_NUMBER or parts.password is not None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}").geturl()


class ClientSettings(BaseSettings):
    """What a producer needs to know. Each may stand in a file, which a variable with `_FILE` at its end names.

    Attributes:
        broker_url: where Celery's queues are.
        result_backend_url: where results are; the broker's address unless given.
        ledger_url: where the ledger and the dead letters are, in a Redis that never evicts; the broker's address unless
            given.
        redis_password: put into those of these addresses that are of Redis and have none. It is taken as it is: in an
            address it would be percent-encoded.
        sentinel_master: the name of the servers in Redis Sentinel, for addresses that begin with `sentinel://`.
        overdue_seconds: a batch that no worker has begun on for so long is published again, unless there is a backlog.
        enqueue_delay_seconds: how long the first event of a batch waits for others that are enqueued one at a time;
            those that come while another batch is on its way share the next one anyway.
        outstanding_high: events that have not ended, in all. From so many on, `enqueue_many` waits.
        outstanding_low: it goes on when no more than so many are left.
        outstanding_max: more are never accepted: `enqueue` raises `Overloaded`.
    """

    model_config = SettingsConfigDict(env_prefix=_PREFIX, env_ignore_empty=True, frozen=True, hide_input_in_errors=True)

    broker_url: Url
    result_backend_url: ResultUrl
    ledger_url: LedgerUrl
    redis_password: Annotated[str, Field(repr=False)] = ""
    sentinel_master: Annotated[str, Field(min_length=1)] = "mymaster"
    overdue_seconds: Annotated[float, Field(ge=1)] = 120.0
    enqueue_delay_seconds: Annotated[float, Field(ge=0, le=1)] = 0.0
    outstanding_high: Annotated[int, Field(ge=1)] = 100_000
    outstanding_low: Annotated[int, Field(ge=0)] = 50_000
    # Whatever the backlog, a whole batch fits when it is gone.
    outstanding_max: Annotated[int, Field(ge=MAX_EVENTS)] = 1_000_000

    @model_validator(mode="before")
    @classmethod
    def _fill_from_broker(cls, given: dict[str, Any]) -> dict[str, Any]:
        # Without a usable broker the other two get an address all the same, so that the error names only what is wrong.
        broker_url = given.get("broker_url", "redis://")
        try:
            _readable_url(broker_url)
        except ValueError:
            broker_url = "redis://"
        return {"result_backend_url": broker_url, "ledger_url": broker_url} | given

    @model_validator(mode="after")
    def _password_in_addresses(self) -> Self:
        if self.redis_password:
            for name in ("broker_url", "result_backend_url", "ledger_url"):
                # The model is frozen for others: here it is still being made.
                object.__setattr__(self, name, _with_password(getattr(self, name), self.redis_password))
        return self

    @model_validator(mode="after")
    def _watermarks_in_order(self) -> Self:
        if self.outstanding_low >= self.outstanding_high:
            raise ValueError("LOOKALIKE_OUTSTANDING_LOW must be below LOOKALIKE_OUTSTANDING_HIGH")
        if self.outstanding_max < self.outstanding_high:
            raise ValueError("LOOKALIKE_OUTSTANDING_MAX must be at least LOOKALIKE_OUTSTANDING_HIGH")
        return self

    @classmethod
    def from_env(cls) -> Self:
        """Read the environment, and the files that it names.

        Raises:
            SettingsError: naming each variable that is missing or wrong. Values, which may be secrets, are not shown.
        """
        try:
            return cls(**cls._from_files())
        except secret_files.SecretFileError as error:
            raise SettingsError(str(error)) from None
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False, include_context=False)
            raise SettingsError("; ".join(map(_explain, details))) from None

    @classmethod
    def _from_files(cls) -> dict[str, Any]:
        names = {name: f"{_PREFIX}{name.upper()}" for name in cls.model_fields}
        in_files = (name for name, variable in names.items() if os.environ.get(variable + secret_files.SUFFIX))
        return {name: secret_files.value_of(names[name], os.environ) or "" for name in in_files}


class LogSettings(ClientSettings):
    """What every process that serves can be told: workers, beat, Flower, the listener.

    Attributes:
        log_format: `json` for services, `console` for people; `auto` looks whether there is a terminal.
        log_level: the least severe level that is logged.
        metrics_port: where the process answers Prometheus; nowhere unless given.
        metrics_host: the address that it listens on for that.
    """

    log_format: Literal["auto", "json", "console"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    metrics_port: Annotated[int | None, Field(ge=1, le=65535)] = None
    metrics_host: Annotated[str, Field(min_length=1)] = "127.0.0.1"


def _explain(detail: Mapping[str, Any]) -> str:
    message = "not set" if detail["type"] == "missing" else str(detail["msg"]).removeprefix("Value error, ")
    # What is wrong between several variables has no place of its own, and names them itself.
    return f"{_PREFIX}{detail['loc'][0].upper()}: {message}" if detail["loc"] else message
