"""The listener's settings, from the environment: `LOOKALIKE_LISTEN_SECRETS` and the rest."""

from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from producer.settings import LogSettings

_SHORTEST: Final = 16
_MOST: Final = 4


def _split(text: object) -> object:
    return tuple(part.strip() for part in text.split(",")) if isinstance(text, str) else text


def _strong(secrets: tuple[str, ...]) -> tuple[str, ...]:
    if any(len(secret) < _SHORTEST or not secret.isascii() or not secret.isprintable() for secret in secrets):
        raise ValueError(f"each secret has at least {_SHORTEST} printable ASCII characters: `openssl rand -hex 32`")
    return secrets


def _readable(path: Path | None) -> Path | None:
    if path is not None and not path.is_file():
        raise ValueError("not a file that can be read")
    return path


Secrets = Annotated[
    tuple[str, ...],
    NoDecode,
    BeforeValidator(_split),
    Field(min_length=1, max_length=_MOST, repr=False),
    AfterValidator(_strong),
]


class ListenSettings(LogSettings):
    """What the listener can be told, beside what every client is.

    Attributes:
        listen_secrets: separated by commas, of which a sender has to know one: two while they are changed.
        listen_max_bytes: larger bodies are refused.
        listen_seconds: within which a request is answered. OSS waits 5 seconds for a callback's answer.
        callback_public_key: a file with the key that callbacks are signed with (PEM). Unless it is given, the key is
            fetched from Aliyun's own host, as the callback says.
        callback_signature_alone: whether a callback that OSS signed needs no secret. OSS signs the callbacks of every
            bucket of everybody.
    """

    listen_secrets: Secrets
    listen_max_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = 1024 * 1024
    listen_seconds: Annotated[float, Field(gt=0, le=60)] = 4.0
    callback_public_key: Annotated[Path | None, AfterValidator(_readable)] = None
    callback_signature_alone: bool = False
