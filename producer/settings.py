"""Addresses, from the environment: `LOOKALIKE_BROKER_URL` and the rest, validated before anything connects."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from contract import LookalikeError

_REDIS = ("redis://", "rediss://", "unix://")
_PREFIX = "LOOKALIKE_"


class SettingsError(LookalikeError, ValueError):
    """A variable of the environment is missing or cannot be used. The message names it."""


def _redis_url(url: str) -> str:
    if not url.startswith(_REDIS):
        raise ValueError(f"an address of Redis or Valkey begins with one of {', '.join(_REDIS)}")
    return url


RedisUrl = Annotated[str, AfterValidator(_redis_url)]


class ClientSettings(BaseSettings):
    """What a producer needs to know.

    Attributes:
        broker_url: where Celery's queues are.
        result_backend_url: where results are; the broker's address unless given.
        ledger_url: where the ledger and the dead letters are, in a Redis that never evicts; the broker's address unless
            given.
    """

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, hide_input_in_errors=True)

    # repr=False: an address may carry a password, and a settings object may be logged.
    broker_url: Annotated[str, Field(min_length=1, repr=False)]
    result_backend_url: Annotated[str, Field(min_length=1, repr=False)]
    ledger_url: Annotated[RedisUrl, Field(repr=False)]

    @model_validator(mode="before")
    @classmethod
    def _fill_from_broker(cls, given: dict[str, Any]) -> dict[str, Any]:
        # Without a broker the other two get an address all the same, so that the error names only what is missing.
        broker_url = given.get("broker_url", "redis://")
        return {"result_backend_url": broker_url, "ledger_url": broker_url} | given

    @classmethod
    def from_env(cls) -> Self:
        """Read the environment.

        Raises:
            SettingsError: naming each variable that is missing or wrong. Values, which may be secrets, are not shown.
        """
        try:
            return cls()
        except ValidationError as error:
            raise SettingsError(
                "; ".join(
                    f"{_PREFIX}{'_'.join(map(str, detail['loc'])).upper()}: {detail['msg'].removeprefix('Value error, ')}"
                    for detail in error.errors(include_url=False, include_input=False, include_context=False)
                )
            ) from None
