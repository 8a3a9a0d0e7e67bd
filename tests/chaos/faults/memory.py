"""Valkey without memory."""

import time
from typing import Final

from devstack.programs import Kind
from tests.chaos.faults.registry import fault
from tests.chaos.run import Run

_FULL_SECONDS: Final = 2.0


@fault("valkey-full", few=1, many=5)
def fill_valkey(run: Run) -> None:
    """Valkey has no memory left for two seconds; producers are told so."""

    def blow(_: str) -> None:
        server = run.rig.broker
        server.config_set("maxmemory", server.info("memory")["used_memory"])
        try:
            time.sleep(_FULL_SECONDS)
        finally:
            server.config_set("maxmemory", 0)
            run.note_strike()

    run.strike_all(blow, [Kind.VALKEY.value], within=0.1)


FAULTS: Final = (fill_valkey,)
