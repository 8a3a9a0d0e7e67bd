"""The faults by name, in the order of the table."""

from typing import Final

from tests.chaos.faults import content, delivery, memory, objects, processes, sweeps
from tests.chaos.faults.registry import LONG_EVENTS, Fault

_MODULES: Final = (processes, memory, objects, delivery, sweeps, content)

FAULTS: Final[dict[str, Fault]] = {fault.name: fault for module in _MODULES for fault in module.FAULTS}

__all__ = ["FAULTS", "LONG_EVENTS", "Fault"]
