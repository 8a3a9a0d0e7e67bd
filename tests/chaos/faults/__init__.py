"""The faults: each module registers some."""

from tests.chaos.faults import content, delivery, memory, objects, processes, sweeps
from tests.chaos.faults.registry import FAULTS, LONG_EVENTS, Fault

__all__ = ["FAULTS", "LONG_EVENTS", "Fault", "content", "delivery", "memory", "objects", "processes", "sweeps"]
