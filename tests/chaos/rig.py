"""The stack that the faults are made in, and the connections of the harness to its parts."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final, Self

import redis
from kombu.exceptions import OperationalError
from pymilvus import MilvusClient, MilvusException

from contract import INGEST_QUEUE, SEARCH_QUEUE, SWEEP, ServiceUnavailable
from devstack import Stack, Workers
from devstack.oss import FaultClient
from devstack.programs import node_name
from producer import Client
from producer.app import make_app
from producer.ledger import Ledger
from producer.publisher import Publisher
from producer.settings import ClientSettings
from tests.chaos.verdict import Row
from tests.repeating import every
from worker.adapters.oss import OssObjectStore
from worker.settings import WorkerSettings

_POISON: Final = Path(__file__).parent / "poison"

# Deaths are noticed and retries made within seconds, and nothing is given up for a fault that passes.
QUICK: Final = {
    "LOOKALIKE_COLLECTION": "chaos",
    "LOOKALIKE_PARTITIONS": "4",
    "LOOKALIKE_LEASE_SECONDS": "2",
    "LOOKALIKE_OVERDUE_SECONDS": "3",
    "LOOKALIKE_OSS_TIMEOUT": "2",
    "LOOKALIKE_OBJECT_SECONDS": "4",
    "LOOKALIKE_DECODE_SECONDS": "2",
    "LOOKALIKE_MILVUS_TIMEOUT": "10",
    "LOOKALIKE_RETRY_ATTEMPTS": "60",
    "LOOKALIKE_RETRY_CAP_SECONDS": "2",
    "LOOKALIKE_SHUTDOWN_SECONDS": "3",
    "LOOKALIKE_LOG_FORMAT": "json",
}
_COLLECTION: Final = "chaos_ahash"

_POLL_SECONDS: Final = 0.05
_SWEEP_SECONDS: Final = 1.0
_TELL_SECONDS: Final = 30.0
_READ_SECONDS: Final = 60.0
_READ_PAUSE: Final = 0.5
_PUT_SECONDS: Final = 60.0
# Milvus returns 16,384 rows at the most. A meta_id is of one picture, so such a window of them has fewer.
_WINDOW: Final = 10_000
_PUTS: Final = 8
_ROW_FIELDS: Final = ["meta_id", "company_id", "object_key", "image_vector"]


class Rig:
    """A stack with two ingest workers, whose ledger is swept every second.

    Its variables stand in this process' environment while it is entered, as oss2 and the stack read them there.

    Args:
        directory: of the stack.
    """

    def __init__(self, directory: Path) -> None:
        self.stack = Stack(directory, workers=Workers(processes=2, flower=False))
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            opening.enter_context(environment({**QUICK, "PYTHONPATH": str(_POISON)}))
            opening.enter_context(self.stack)
            opening.enter_context(environment(self.stack.env))
            settings = ClientSettings.from_env()
            self.client = opening.enter_context(Client(settings))
            self.app = opening.enter_context(make_app("chaos", settings))
            self.ledger = opening.enter_context(
                closing(Ledger.from_url(settings.ledger_url, overdue_seconds=settings.overdue_seconds))
            )
            self.publisher = Publisher(self.app, self.ledger)
            self.broker = opening.enter_context(redis.Redis.from_url(settings.broker_url, socket_timeout=10))
            self.oss = FaultClient(self.stack.env["LOOKALIKE_OSS_ENDPOINT"])
            patient = WorkerSettings.from_env().model_copy(update={"oss_timeout": _PUT_SECONDS})
            self._objects = opening.enter_context(closing(OssObjectStore.from_settings(patient)))
            self._threads = opening.enter_context(ThreadPoolExecutor(_PUTS))
            opening.enter_context(every(_SWEEP_SECONDS, self.sweep))
            self._open = opening.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    @property
    def ingest_workers(self) -> list[str]:
        """The programs that index pictures."""
        return [name for name in self.stack.programs if name.startswith(INGEST_QUEUE)]

    @property
    def search_worker(self) -> str:
        """The program that sweeps."""
        return f"{SEARCH_QUEUE}1"

    def sweep(self) -> None:
        """Ask for a sweep, as beat does; where the broker is away, not."""
        try:
            self.app.send_task(SWEEP, queue=SEARCH_QUEUE, expires=2 * _SWEEP_SECONDS, ignore_result=True, retry=False)
        except (OperationalError, OSError, redis.RedisError):
            return

    def put(self, objects: Mapping[str, bytes]) -> None:
        """Write objects into the bucket."""
        list(self._threads.map(self._objects.put, objects.keys(), objects.values()))

    def waiting(self) -> int:
        """How many messages wait for an ingest worker."""
        length: int = self.broker.llen(INGEST_QUEUE)
        return length

    @contextmanager
    def ingest_paused(self) -> Iterator[None]:
        """Have the workers take no uploads meanwhile; what they have taken, they finish."""
        self._tell_workers("cancel_consumer")
        try:
            yield
        finally:
            self._tell_workers("add_consumer")

    def _tell_workers(self, command: str) -> None:
        nodes = {node_name(name) for name in self.ingest_workers}
        deadline = time.monotonic() + _TELL_SECONDS
        while nodes:
            arguments = {"queue": INGEST_QUEUE}
            answers = self.app.control.broadcast(command, arguments, destination=sorted(nodes), reply=True) or []
            nodes -= {node for answer in answers for node in answer}
            if time.monotonic() > deadline:
                raise AssertionError(f"{command}: no answer from {', '.join(nodes)}")

    def settled(self, seconds: float) -> int:
        """Wait until nothing is outstanding.

        Returns:
            How many events still are, when that took too long.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                outstanding = self.client.outstanding()
            except ServiceUnavailable:
                outstanding = -1  # nobody knows
            if outstanding == 0 or time.monotonic() > deadline:
                return outstanding
            time.sleep(_POLL_SECONDS)

    def rows(self, ids: range) -> tuple[list[Row], int]:
        """Read the rows of pictures, and count them. A Milvus that was killed needs some time until it is read."""
        windows = [ids[at : at + _WINDOW] for at in range(0, len(ids), _WINDOW)]
        deadline = time.monotonic() + _READ_SECONDS
        while True:
            try:
                with closing(MilvusClient(self.stack.env["LOOKALIKE_MILVUS_URI"], dedicated=True)) as milvus:
                    # Counted first, so that a row which is written just now is not taken for a copy.
                    counted = sum(_count(milvus, window) for window in windows)
                    return [row for window in windows for row in _read(milvus, window)], counted
            except MilvusException:
                if time.monotonic() > deadline:
                    raise
            time.sleep(_READ_PAUSE)


def _read(milvus: MilvusClient, ids: range) -> Iterable[Row]:
    found = milvus.query(
        _COLLECTION, filter=_within(ids), output_fields=_ROW_FIELDS, limit=16_384, consistency_level="Strong"
    )
    for row in found:
        yield Row(row["meta_id"], row["company_id"], row["object_key"], bytes(row["image_vector"][0]))


def _count(milvus: MilvusClient, ids: range) -> int:
    found = milvus.query(_COLLECTION, filter=_within(ids), output_fields=["count(*)"], consistency_level="Strong")
    count: int = found[0]["count(*)"]
    return count


def _within(ids: range) -> str:
    return f"meta_id >= {ids.start} and meta_id < {ids.stop}"


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process, and put back what was there."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
