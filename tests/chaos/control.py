"""The experiment that must fail: without it nobody knows whether the check sees anything."""

import json
from base64 import b64decode
from typing import Final

from contract import INGEST, INGEST_QUEUE
from tests.chaos.faults import Fault
from tests.chaos.run import Run, message_of
from tests.chaos.schedule import batches

_ANSWER_SECONDS: Final = 60.0


def lose_one(run: Run) -> list[int]:
    """Publish events with Celery alone, and take a message off the queue as a worker does that is killed at once.

    kombu pops a message before it writes down that it has it. No ledger knows of these events, so those of that message
    are lost.

    Returns:
        Their meta_ids.
    """
    with run.rig.ingest_paused():
        answers = {}
        for part in batches(run.random, run.uploads):
            answer = run.rig.app.send_task(INGEST, kwargs=message_of(part), queue=INGEST_QUEUE)
            answers[answer.id] = answer
        run.accept(run.uploads)
        message = json.loads(run.rig.broker.brpop([INGEST_QUEUE])[1])
        run.note_strike()
    del answers[message["headers"]["id"]]
    for answer in answers.values():
        answer.get(_ANSWER_SECONDS)
    _, arguments, _ = json.loads(b64decode(message["body"]))
    return [event["meta_id"] for event in arguments["events"]]


def _lose_one(run: Run) -> None:
    lose_one(run)


WITHOUT_LEDGER: Final = Fault("without-ledger", "No ledger knows of the events, and one message is lost.", _lose_one)
