"""Variables whose value stands in a file: `NAME_FILE` in the place of `NAME`, as secrets come to containers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from contract import LookalikeError

SUFFIX: Final = "_FILE"
_MOST_BYTES: Final = 64 * 1024


class SecretFileError(LookalikeError, ValueError):
    """The file that a variable names cannot be used. The message names the variable and the file, never the content."""


def value_of(name: str, environment: Mapping[str, str]) -> str | None:
    """Read a variable: itself, or the file that `NAME_FILE` names, without the line break at its end.

    Args:
        name: of the variable, such as `LOOKALIKE_REDIS_PASSWORD`.
        environment: such as `os.environ`. An empty value counts as none.

    Returns:
        The value; None where neither is set.

    Raises:
        SecretFileError: both are set; or the file is missing, unreadable, empty, over 64 KiB or not text in UTF-8.
    """
    value, file = environment.get(name), environment.get(name + SUFFIX)
    if not file:
        return value or None
    if value:
        raise SecretFileError(f"{name}: set, and so is {name}{SUFFIX}; one of them is too much")
    return _read(name + SUFFIX, Path(file))


def _read(variable: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise SecretFileError(f"{variable}: {path} has more than {_MOST_BYTES:,} bytes, which is no secret")
        value = content.decode().rstrip("\r\n")
    except OSError as error:
        raise SecretFileError(f"{variable}: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SecretFileError(f"{variable}: {path} is not text in UTF-8") from None
    if not value:
        raise SecretFileError(f"{variable}: {path} is empty")
    return value
