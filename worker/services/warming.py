"""Warming up: the first caller finds an open connection."""

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from worker.core.errors import Misconfigured, Transient

log = structlog.get_logger(__name__)

_AGAIN_SECONDS: Final = 2.0


def warm(call: Callable[[], object], stopping: threading.Event, again: float = _AGAIN_SECONDS) -> threading.Thread:
    """Make a call in a thread of its own, until it succeeds. Nobody waits for it.

    Args:
        call: what opens the connection. `Transient` is tried again, `Misconfigured` is not.
        stopping: ends it.
        again: seconds between two tries.

    Returns:
        The thread, which has begun.
    """
    thread = threading.Thread(target=_warm, args=(call, stopping, again), name="lookalike-warm", daemon=True)
    thread.start()
    return thread


def _warm(call: Callable[[], object], stopping: threading.Event, again: float) -> None:
    while not stopping.is_set():
        begun = time.monotonic()
        try:
            call()
        except Transient as error:
            log.info("search_not_warm", error=str(error))
            stopping.wait(again)
        except Misconfigured as error:
            log.warning("search_not_warm", error=str(error))
            return
        else:
            log.info("search_warm", milliseconds=round((time.monotonic() - begun) * 1000, 1))
            return
