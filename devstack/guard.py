"""Takes a stack down when the process that uses it ends, however that ends."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

# It imports the package only when there is something to do. Its standard input ends when our process does.
_SCRIPT: Final = "import sys; sys.stdin.buffer.read() or __import__('devstack').Stack(sys.argv[1]).down()"
_DONE: Final = b"down already"


class Guard:
    """A process that outlives ours by as long as it takes to stop a stack.

    Even `kill -9` leaves it: the kernel closes the pipe between us.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @classmethod
    def over(cls, directory: Path) -> Self:
        """Watch over the stack in a folder."""
        return cls(
            subprocess.Popen(
                [sys.executable, "-P", "-c", _SCRIPT, str(directory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )

    def dismiss(self) -> None:
        """End the watch: the stack is down."""
        with suppress(BrokenPipeError):
            self._process.communicate(_DONE)
