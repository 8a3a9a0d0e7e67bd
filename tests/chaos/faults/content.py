"""Objects that change, and pictures that kill whoever opens them."""

import time
from dataclasses import replace
from typing import Final

import psutil

from contract import Reason
from devstack.oss import Fault as Broken
from tests.chaos.faults.registry import fault
from tests.chaos.pictures import pictures
from tests.chaos.run import Run
from tests.chaos.schedule import batches

CRASH: Final = b"lookalike-chaos: crash"
HANG: Final = b"lookalike-chaos: hang"

_VERSIONS: Final = 4
_SLOW_SHARE: Final = 0.3
_QUARANTINE: Final = "quarantine1"
_QUARANTINE_SECONDS: Final = 30.0


@fault("overwritten")
def overwrite(run: Run) -> None:
    """Objects are overwritten with other pictures while their events are under way, with an event after each."""
    uploads = run.uploads[: len(run.uploads) // _VERSIONS]
    own = [replace(one, row=replace(one.row, object_key=run.key(f"own-{one.row.meta_id}"))) for one in uploads]
    for slow in run.random.sample(own, int(len(own) * _SLOW_SHARE)):
        # Some read an old version for so long that a newer one is written meanwhile.
        slowly = Broken("drip", "GET", slow.row.object_key, skip=run.random.randrange(_VERSIONS - 1), chunk=4000)
        run.rig.oss.add(slowly)
    for _ in range(_VERSIONS):
        shown = [run.random.choice(pictures()) for _ in own]
        run.rig.put({one.row.object_key: picture.body for one, picture in zip(own, shown, strict=True)})
        current = [
            replace(one, row=replace(one.row, vector=picture.vector)) for one, picture in zip(own, shown, strict=True)
        ]
        run.random.shuffle(current)
        run.send(current)
        run.note_strike(len(current))


@fault("poison-crash", few=1, many=5, needs=_QUARANTINE)
def crash(run: Run) -> None:
    """Pictures that crash the process which opens them, with siblings in the same messages."""
    _send_poisoned(run, CRASH, Reason.CRASH)


@fault("poison-hang", few=1, many=5, needs=_QUARANTINE)
def hang(run: Run) -> None:
    """Pictures that never end to be decoded, with siblings in the same messages."""
    _send_poisoned(run, HANG, Reason("timeout"))


@fault("quarantine-killed", few=1, many=5, needs=_QUARANTINE)
def kill_quarantine(run: Run) -> None:
    """The child of the quarantine is killed while it works on the siblings of pictures that crash."""
    run.uploads = [replace(upload, may_die=frozenset({Reason.CRASH})) for upload in run.uploads]
    _send_poisoned(run, CRASH, Reason.CRASH)
    deadline = time.monotonic() + _QUARANTINE_SECONDS
    while run.struck < 2 * run.strikes and time.monotonic() < deadline and run.rig.client.outstanding():
        if run.rig.broker.llen("quarantine"):
            for child in psutil.Process(run.rig.stack.pid(_QUARANTINE)).children():
                child.kill()
                run.note_strike()
        time.sleep(1)


def _send_poisoned(run: Run, marker: bytes, reason: Reason) -> None:
    """Send so many poisoned pictures, each in a message with others."""
    messages = [list(message) for message in batches(run.random, run.uploads)]
    for message in run.random.sample(messages, run.strikes):
        picture = run.random.choice(pictures())
        poison = run.upload(run.key(f"poison-{run.struck}"), picture, reason)
        run.rig.put({poison.row.object_key: picture.body + marker})
        message.insert(run.random.randrange(len(message)), poison)
        run.note_strike()
    for message in messages:
        run.send(message, size=len(message))


FAULTS: Final = (overwrite, crash, hang, kill_quarantine)
