"""What can go wrong with the stack."""

from pathlib import Path
from typing import Final

from contract import LookalikeError

_TAIL_LINES: Final = 15
_TAIL_BYTES: Final = 16_384


class StackError(LookalikeError):
    """The stack cannot be started, stopped or asked. The message says what to do about it."""


class ServiceDied(StackError):
    """A service ended while it was expected to start."""

    def __init__(self, message: str) -> None:
        super().__init__(message)

    @classmethod
    def with_log(cls, name: str, log: Path) -> "ServiceDied":
        """Say what the service wrote last."""
        lines = tail(log)
        said = "\n".join(f"  {line}" for line in lines) if lines else "  (nothing)"
        return cls(f"{name} does not stay up. The end of {log}:\n{said}")


def tail(log: Path, lines: int = _TAIL_LINES) -> list[str]:
    """Read the last lines of a log, none where there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return text.splitlines()[-lines:]
