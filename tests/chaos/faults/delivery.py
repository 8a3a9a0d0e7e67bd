"""Messages that come too often, not at all, or are none."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from signal import SIGKILL
from typing import Final
from uuid import uuid4

from contract import INGEST, INGEST_QUEUE, InvalidMessage, Reason
from producer.ledger import Batch
from tests.chaos.faults.registry import fault
from tests.chaos.run import Run, message_of
from tests.chaos.schedule import batches, shares
from tests.chaos.verdict import Upload

_DELIVERIES: Final = 3
_PRODUCER: Final = Path(__file__).parents[1] / "dying_producer.py"
_PRODUCER_SECONDS: Final = 60.0
_ANSWER_SECONDS: Final = 30.0
_MISSHAPEN: Final = 10
_GARBAGE: Final = (
    b"\x00\xff\xfe",
    b"{half of a",
    b"",
    b"null",
    b"17",
    b'"text"',
    b"[]",
    b"{}",
    b'{"body": "bm90IEpTT04=", "properties": {}}',
    b'{"body": 5, "headers": {}, "properties": {"delivery_info": {}, "delivery_tag": "x", "body_encoding": "base64"}}',
)


@fault("delivered-thrice")
def deliver_thrice(run: Run) -> None:
    """Every message comes three times in random order, under the same task id or under others."""
    accepted = [Batch(str(uuid4()), message_of(part)["events"]) for part in batches(run.random, run.uploads)]
    for batch in accepted:
        run.rig.ledger.record(batch, time.time())
    run.accept(run.uploads)
    deliveries = list(accepted)
    for batch in accepted:
        same_id = run.random.random() < 0.5
        deliveries += [batch if same_id else replace(batch, id=str(uuid4())) for _ in range(_DELIVERIES - 1)]
    run.random.shuffle(deliveries)
    for batch in deliveries:
        run.rig.publisher.publish(batch)
    run.note_strike(len(deliveries) - len(accepted))


@fault("producer-killed", few=2, many=10)
def kill_producers(run: Run) -> None:
    """A producer is killed when it has written its last message into the ledger and has not published it."""
    for part in shares(run.uploads, run.strikes):
        messages = batches(run.random, part)
        done = subprocess.run(
            [sys.executable, str(_PRODUCER)],
            input=json.dumps([message_of(message)["events"] for message in messages]),
            env=os.environ,
            text=True,
            timeout=_PRODUCER_SECONDS,
            check=False,
        )
        if done.returncode != -SIGKILL:
            raise AssertionError(f"the producer ended with {done.returncode}, and should have been killed")
        run.accept(part)
        run.note_strike()


@fault("garbage", few=4, many=10)
def send_garbage(run: Run) -> None:
    """Entries of the queue that are no JSON, no message, of no known task, or not of our form."""
    misshapen, fine = run.uploads[:_MISSHAPEN], run.uploads[_MISSHAPEN:]
    _send_misshapen(run, misshapen)
    for number, burst in enumerate(shares(fine, run.strikes)):
        middle = len(burst) // 2
        run.send(burst[:middle])
        run.rig.broker.lpush(INGEST_QUEUE, _GARBAGE[number % len(_GARBAGE)])
        run.rig.app.send_task("lookalike.nobody", queue=INGEST_QUEUE, ignore_result=True)
        run.note_strike(2)
        run.send(burst[middle:])


def _send_misshapen(run: Run, uploads: Sequence[Upload]) -> None:
    """Send a message of another version, and one with an event that fits no contract, and wait for their ends."""
    first, second = shares(uploads, 2)
    dead = [replace(upload, reason=Reason.INVALID) for upload in first]
    with suppress(InvalidMessage):
        run.rig.app.send_task(INGEST, kwargs={**message_of(first), "version": 99}, queue=INGEST_QUEUE).get(
            _ANSWER_SECONDS
        )
        raise AssertionError("a message of another version was not refused")
    message = message_of(second)
    message["events"][0]["company_id"] = "7"
    dead.append(replace(second[0], reason=Reason.INVALID))
    run.rig.app.send_task(INGEST, kwargs=message, queue=INGEST_QUEUE).get(_ANSWER_SECONDS)
    run.accept([*dead, *second[1:]])
    run.note_strike(2)


FAULTS: Final = (deliver_thrice, kill_producers, send_garbage)
