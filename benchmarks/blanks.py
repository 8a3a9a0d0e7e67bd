"""Whether blank pictures slow searches down: ten thousand of them among twenty thousand, and none among as many."""

import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.section import Section, Table, Value
from devstack import Stack
from worker.adapters.milvus import MilvusConnection, MilvusIndex
from worker.core.fingerprints import Hash
from worker.ports import Row, Scope
from worker.services.nearest import nearest_vectors
from worker.settings import WorkerSettings
from worker.testing import make_row

_ROWS: Final = 10_000
_ROUNDS: Final = 300
_LIMIT: Final = 10
_WITHOUT: Final = 1
_WITH: Final = 2
_BLANK: Final = bytes(8)


def run(console: Console, quick: bool) -> Iterator[Table]:
    """Fill two tenants of one collection alike, one of them with blank pictures beside, and search both in turn."""
    rows, rounds = (1000, 20) if quick else (_ROWS, _ROUNDS)
    vectors = np.random.default_rng(3).integers(0, 256, (2 * rows, 8), dtype=np.uint8)
    with TemporaryDirectory(prefix="lookalike-benchmark-") as folder, Stack(Path(folder)) as stack:
        os.environ.update(stack.env)
        settings = WorkerSettings.from_env()
        with closing(MilvusConnection(settings)) as connection:
            index = MilvusIndex(connection, settings, settings.profiles[0])
            index.upsert([make_row(n, _WITHOUT, vector=one.tobytes()) for n, one in enumerate(vectors)])
            index.upsert([make_row(n, _WITH, vector=one.tobytes()) for n, one in enumerate(vectors[:rows])])
            index.upsert([_blank(rows + n) for n in range(rows)])
            console.print(f"{2 * rows:,} pictures in each of two tenants, of which {rows:,} are blank in one of them")
            yield Table(
                "blanks",
                f"A search for the {_LIMIT} nearest, by the service itself, in ms",
                list(_measure(index, vectors, rounds)),
                [
                    "Searches of both tenants take turns; the queries are pictures that are indexed.",
                    "Asked for, all blank pictures are one match with their count.",
                ],
            )


def _blank(n: int) -> Row:
    return replace(make_row(n, _WITH), hashes=(Hash("ahash", _BLANK, 0),))


def _measure(index: MilvusIndex, vectors: NDArray[np.uint8], rounds: int) -> Iterator[dict[str, Value]]:
    ways: dict[str, Scope] = {
        "none is blank": Scope(_WITHOUT),
        "half of them are blank": Scope(_WITH),
        "half of them, and they are asked for": Scope(_WITH, low_quality=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    wrong = dict.fromkeys(ways, 0)
    for scope in ways.values():
        nearest_vectors(index, [_BLANK], scope, _LIMIT, 10)
    for number in range(rounds):
        query = vectors[number % (len(vectors) // 2)]
        for name, scope in ways.items():
            begun = time.perf_counter()
            (answer,) = nearest_vectors(index, [query.tobytes()], scope, _LIMIT, 10)
            seconds[name].append(time.perf_counter() - begun)
            tenants = vectors if scope.company_id == _WITHOUT else vectors[: len(vectors) // 2]
            nearest = np.sort(np.bitwise_count(tenants ^ query).sum(axis=1))[:_LIMIT].tolist()
            found = [one.hit.distance for one in answer if one.hit.quality]
            wrong[name] += found != nearest[: len(found)] or len(answer) < _LIMIT
    for name, taken in seconds.items():
        yield {
            "tenant": name,
            "p50": round(median(taken) * 1e3, 2),
            "p95": round(quantiles(taken, n=20, method="inclusive")[-1] * 1e3, 2),
            "wrong answers": wrong[name],
        }


SECTION: Final = Section("blanks", "whether blank pictures slow searches down", run)
