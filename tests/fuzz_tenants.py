"""Hostile calls of many companies to a real Milvus, of which none may tell of another's pictures: `make fuzz-tenants`.

The worker's own code answers, most of it in this process, and one call in twenty by the tasks of real workers.
"""

import argparse
import json
import logging
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from celery import Celery
from rich.console import Console

from contract import DELETE, DUPLICATES, MEMBERS, QUEUES, SEARCH, SEARCH_MANY, Item, ServiceUnavailable
from devstack import Stack, Workers
from producer.app import make_app
from producer.consumption import Consumption
from producer.publisher import Publisher
from tests.tenants import (
    COMPANIES,
    PICTURES,
    SERVED,
    Answer,
    Call,
    Calls,
    answer_of,
    flaws,
    key_of,
    pictures,
    rows_of,
    rows_told,
)
from worker.core.errors import Busy, Transient
from worker.runtime import Runtime
from worker.settings import WorkerSettings

_THREADS: Final = 3
_BY_TASK: Final = 20  # one in so many
_TASK_SECONDS: Final = 120.0
_SHOWN: Final = 20
_PAGE: Final = 5000


@dataclass
class Tally:
    """What was asked and what came of it.

    Attributes:
        calls: by task.
        queries: in all of them.
        by_task: calls that real workers answered.
        answered: calls that were answered, not refused.
        rows: that the answers told of.
        refused: calls by the class of their error.
        flaws: what is wrong, with the call.
        deleted: pictures whose deletion was accepted.
    """

    calls: Counter[str] = field(default_factory=Counter)
    queries: int = 0
    by_task: int = 0
    answered: int = 0
    rows: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    flaws: list[str] = field(default_factory=list)
    deleted: set[tuple[int, int]] = field(default_factory=set)

    def add(self, call: Call, answer: Answer, *, by_task: bool) -> None:
        """Judge an answer and count it."""
        self.calls[call.task] += 1
        self.queries += call.queries
        self.by_task += by_task
        self.flaws += [f"{flaw}: {call.task} {json.dumps(call.message)[:500]}" for flaw in flaws(call, answer)]
        if answer.error is not None:
            self.refused[type(answer.error).__name__] += 1
            return
        self.answered += 1
        self.rows += rows_told(answer)
        if call.task == DELETE:
            items = [Item.model_validate(item) for item in call.message["items"]]
            self.deleted |= {(item.company_id, item.meta_id) for item in items}

    def as_dict(self) -> dict[str, Any]:
        """What a report shows."""
        return {
            "calls": sum(self.calls.values()),
            "by_task": dict(self.calls),
            "queries": self.queries,
            "answered_by_real_workers": self.by_task,
            "answered": self.answered,
            "rows_told_of": self.rows,
            "refused": dict(self.refused),
            "flaws": len(self.flaws),
        }


class Asking:
    """Asks the worker's own code, in this process.

    Args:
        environment: the worker's.
        collection: the first part of the collections' names.
    """

    def __init__(self, environment: Mapping[str, str], collection: str) -> None:
        self.variables: Final = {
            **environment,
            "LOOKALIKE_COLLECTION": collection,
            "LOOKALIKE_HASH": ",".join(SERVED),
            "LOOKALIKE_PARTITIONS": "4",
        }
        known = {f"LOOKALIKE_{name.upper()}": name for name in WorkerSettings.model_fields}
        given = {known[name]: value for name, value in self.variables.items() if name in known}
        settings = WorkerSettings.model_validate(given)
        self._app = make_app("tenants", settings)
        self._runtime = Runtime(settings, lambda ledger: Publisher(self._app, ledger), Consumption(self._app))

    def close(self) -> None:
        """Close every connection."""
        self._runtime.close()
        self._app.close()

    def fill(self) -> None:
        """Write the rows of all companies, and put the objects of some into the bucket."""
        self._runtime.index.upsert([row for company in COMPANIES for row in rows_of(company)])
        for company in COMPANIES:
            for meta_id, body in zip(range(PICTURES), pictures(), strict=True):
                self._runtime.objects.put(key_of(company, meta_id), body)

    def __call__(self, call: Call) -> Answer:
        """Answer a call as the task would."""
        answers = self._runtime.answers
        work = {
            SEARCH: answers.search,
            SEARCH_MANY: answers.search_many,
            MEMBERS: answers.members,
            DUPLICATES: answers.duplicates,
            DELETE: self._runtime.delete,
        }[call.task]
        message = json.loads(json.dumps(call.message))

        def told() -> Any:
            try:
                return json.loads(json.dumps(work(message)))
            except (Busy, Transient) as error:
                raise ServiceUnavailable(str(error)) from error

        return answer_of(told)

    def missing(self, deleted: set[tuple[int, int]]) -> list[str]:
        """Say what is not stored as it should be, after these pictures were deleted."""
        stored: dict[int, tuple[int, int, str]] = {}
        after: int | None = -1
        while after is not None:
            page = self._runtime.answers.rows({"after": after, "limit": _PAGE})
            stored |= {row["id"]: (row["company_id"], row["meta_id"], row["object_key"]) for row in page["rows"]}
            after = page["next"]
        written = {row.id: row for company in COMPANIES for row in rows_of(company)}
        expected = {
            id_: (row.company_id, row.meta_id, row.object_key)
            for id_, row in written.items()
            if (row.company_id, row.meta_id) not in deleted
        }
        return [
            f"stored: {stored.get(id_)}, expected: {expected.get(id_)}"
            for id_ in stored.keys() | expected.keys()
            if stored.get(id_) != expected.get(id_)
        ]


def by_task(app: Celery, call: Call) -> Answer:
    """Have a real worker answer."""
    sent = app.send_task(call.task, kwargs=call.message, queue=QUEUES[call.task])
    return answer_of(lambda: sent.get(_TASK_SECONDS))


def run(asking: Asking, app: Celery, calls: Iterator[Call], queries: int) -> Tally:
    """Make calls until so many queries were asked."""
    tally = Tally()
    under_way: dict[Future[Answer], tuple[Call, bool]] = {}
    asked = number = 0
    with ThreadPoolExecutor(_THREADS) as pool:
        while asked < queries or under_way:
            while asked < queries and len(under_way) < 2 * _THREADS:
                call = next(calls)
                by_worker = number % _BY_TASK == 0
                work = pool.submit(by_task, app, call) if by_worker else pool.submit(asking, call)
                under_way[work] = call, by_worker
                asked += call.queries
                number += 1
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                call, by_worker = under_way.pop(future)
                tally.add(call, future.result(), by_task=by_worker)
    return tally


def main() -> None:
    """Ask as much as the command line says, and fail on any flaw."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz_tenants", description=__doc__)
    parser.add_argument("--queries", type=int, default=10_000, help="how many pictures to ask after")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="to ask the same again")
    given = parser.parse_args()
    console = Console()
    collection = "tenants"
    logging.disable()  # pymilvus tells of each refusal at length
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    with tempfile.TemporaryDirectory() as folder:
        # What the stack's workers are tuned by.
        os.environ.update(LOOKALIKE_COLLECTION=collection, LOOKALIKE_HASH=",".join(SERVED), LOOKALIKE_PARTITIONS="4")
        with Stack(folder, workers=Workers(processes=1, flower=False)) as stack:
            begun = time.monotonic()
            os.environ.update(stack.env)  # where the bucket's credentials are read
            with closing(Asking(stack.env, collection)) as asking, connected(stack.env) as app:
                asking.fill()
                tally = run(asking, app, iter(Calls(given.seed)), given.queries)
                tally.flaws += asking.missing(tally.deleted)
            seconds = round(time.monotonic() - begun)
    for flaw in tally.flaws[:_SHOWN]:
        console.print(flaw, markup=False)
    console.print_json(data={"seed": given.seed, **tally.as_dict(), "seconds": seconds})
    parser.exit(bool(tally.flaws))


@contextmanager
def connected(environment: Mapping[str, str]) -> Iterator[Celery]:
    """An application as any caller has it, with nothing of ours but the contract's errors."""
    with Celery(
        "asks",
        broker=environment["LOOKALIKE_BROKER_URL"],
        backend=environment["LOOKALIKE_RESULT_BACKEND_URL"],
        set_as_current=False,
    ) as app:
        # Threads that make it together make one each.
        app.conf.result_backend_thread_safe = True
        assert app.backend is not None
        yield app


if __name__ == "__main__":
    main()
