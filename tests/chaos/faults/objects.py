"""OSS that answers with errors, breaks off, or sends what it does not hold."""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from devstack.oss import Fault as Broken
from tests.chaos.faults.registry import Fault, fault
from tests.chaos.run import Run
from tests.chaos.schedule import shares

_SHARE: Final = 0.3
_SLOW_SHARE: Final = 0.1  # of what takes seconds
_LATE_SECONDS: Final = 1.0
_SETTLE_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05

# More than half of the drips are slow but whole; the others take longer than an object may.
_KINDS: Final[Mapping[str, tuple[str, list[dict[str, Any]]]]] = {
    "oss-503": ("OSS answers 503", [{"kind": "status", "status": 503}]),
    "oss-resets": ("OSS breaks the connection off", [{"kind": "reset"}]),
    "oss-truncates": ("OSS ends the body too early", [{"kind": "truncate"}]),
    "oss-corrupts": ("OSS sends a body with a wrong byte", [{"kind": "corrupt"}]),
    "oss-stalls": ("OSS stops in the middle of a body", [{"kind": "stall"}]),
    "oss-drips": (
        "OSS sends a body a little at a time",
        [
            {"kind": "drip", "chunk": 2000, "interval": 0.1},
            {"kind": "drip", "chunk": 2000, "interval": 0.1},
            {"kind": "drip", "chunk": 100, "interval": 0.1},
        ],
    ),
}


def _keys(run: Run, share: float = _SHARE) -> list[str]:
    """Choose the objects that are struck."""
    keys = sorted({upload.row.object_key for upload in run.uploads})
    return run.random.sample(keys, int(len(keys) * share))


def _break_objects(kinds: list[dict[str, Any]], run: Run) -> None:
    is_slow = kinds[0]["kind"] in {"stall", "drip"}
    for key in _keys(run, _SLOW_SHARE if is_slow else _SHARE):
        broken = Broken(method="GET", key=key, skip=run.random.randrange(2), **run.random.choice(kinds))
        run.rig.oss.add(broken)
    run.send(run.uploads)
    run.note_strike(0)
    run.rig.settled(_SETTLE_SECONDS)
    run.struck = _hits(run)


@fault("oss-late", few=1, many=5)
def upload_late(run: Run) -> None:
    """404 for the first second, as when the event overtakes the upload, and then the object."""
    for burst in shares(run.uploads, run.strikes):
        for key in _keys(run):
            run.rig.oss.add(Broken("status", method="GET", key=key, status=404, times=None))
        run.send(burst)
        _wait_for_hits(run)
        time.sleep(_LATE_SECONDS)
        run.note_strike(_hits(run))
        run.rig.oss.clear()
        # What is looked for again must not meet the next burst, or its object is away for longer than it is said.
        run.rig.settled(_SETTLE_SECONDS)


def _wait_for_hits(run: Run) -> None:
    """Wait until an object was asked for: workers that have only just begun take longer than a second."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while not _hits(run) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _hits(run: Run) -> int:
    return sum(rule.hits for rule in run.rig.oss.rules())


FAULTS: Final = (
    *(
        Fault(name, f"{says}, for a share of the requests.", partial(_break_objects, kinds))
        for name, (says, kinds) in _KINDS.items()
    ),
    upload_late,
)
