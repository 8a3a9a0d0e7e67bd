"""What a fault is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.chaos.run import Run

LONG_EVENTS: Final = 2000


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to break the stack.

    Attributes:
        name: on the command line and in the table.
        says: what is done, in a line.
        make: enqueues the events of a run, and breaks what it breaks meanwhile. All is mended when it returns.
        few: how often, in a short run.
        many: how often, in a run of 2,000 events or more.
        needs: a program of the stack without which it cannot be made.
    """

    name: str
    says: str
    make: Callable[[Run], None]
    few: int = 1
    many: int = 1
    needs: str | None = None

    def strikes(self, events: int) -> int:
        """How often it is made among so many events."""
        return max(self.few, min(self.many, self.many * events // LONG_EVENTS))


def fault(
    name: str, *, few: int = 1, many: int = 1, needs: str | None = None
) -> Callable[[Callable[[Run], None]], Fault]:
    """Make a fault of a function; its docstring says what is done."""

    def make_fault(make: Callable[[Run], None]) -> Fault:
        return Fault(name, str(make.__doc__), make, few, many, needs)

    return make_fault
