"""What a search takes: through the queue, by pymilvus alone, and by FAISS in memory, at several sizes."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any, Final

import faiss
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pymilvus import MilvusClient
from rich.console import Console

from benchmarks.section import Section, Table, Value
from benchmarks.vectors import PARTITIONS, Vectors, collection, fill
from devstack import Stack, Workers
from producer import Client
from worker.core.hashing import BITS
from worker.core.schema import METRIC, VECTOR_FIELD, partition_name
from worker.settings import WorkerSettings

ROWS_VARIABLE: Final = "LOOKALIKE_BENCH_ROWS"
_ROWS: Final = (10_000, 100_000, 1_000_000)
_COMPANY: Final = 7
_LIMIT: Final = 10
_MANY: Final = 100
_FIELDS: Final = ["meta_id", "company_id", "object_key"]
_OURS: Final = "Lookalike, through the queue"
_PYMILVUS: Final = "pymilvus alone"
_FAISS: Final = "FAISS, in memory"

# As Milvus is asked by one caller at a time, and because threads of OpenMP that wait for work keep the cores busy.
faiss.omp_set_num_threads(1)

Search = Callable[[NDArray[np.uint8]], list[list[int]]]


@dataclass(frozen=True, slots=True)
class Timing:
    """What the calls of one way to search took.

    Attributes:
        seconds: of each call.
        wrong: queries whose distances are not those of FAISS.
    """

    seconds: Sequence[float]
    wrong: int

    @property
    def p50(self) -> float:
        """The median, in ms."""
        return median(self.seconds) * 1e3

    @property
    def p95(self) -> float:
        """The 95th percentile, in ms."""
        return quantiles(self.seconds, n=20, method="inclusive")[-1] * 1e3


def sizes(environment: Mapping[str, str], *, quick: bool) -> list[int]:
    """How many rows to measure at: 10 k, 100 k, 1 M, and what LOOKALIKE_BENCH_ROWS adds; quick: 10 k."""
    if quick:
        return list(_ROWS[:1])
    more = environment.get(ROWS_VARIABLE, "")
    return sorted({*_ROWS, *([int(more)] if more else [])})


def interleave(
    ways: Mapping[str, Search], queries: Sequence[NDArray[np.uint8]], truth: str, rounds: int
) -> dict[str, Timing]:
    """Search by each way in turn, once for every round, and compare the distances with those of the way `truth`.

    Args:
        ways: by name; each takes uint8 of shape (queries, 8) and returns the distances of each query, nearest first.
        queries: of one call each; they are taken in turn.
        truth: the way that is believed.
        rounds: calls of each way.
    """
    for search in ways.values():
        search(queries[0])
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    wrong = dict.fromkeys(ways, 0)
    for number in range(rounds):
        query = queries[number % len(queries)]
        found = {}
        for name, search in ways.items():
            begun = time.perf_counter()
            found[name] = search(query)
            seconds[name].append(time.perf_counter() - begun)
        for name, distances in found.items():
            wrong[name] += sum(one != other for one, other in zip(distances, found[truth], strict=True))
    return {name: Timing(seconds[name], wrong[name]) for name in ways}


def run(console: Console, quick: bool) -> Iterator[Table]:
    """Fill a Milvus step by step, and measure at each size."""
    counts = sizes(os.environ, quick=quick)
    singles: list[dict[str, Value]] = []
    many: list[dict[str, Value]] = []
    workers = Workers(processes=0, flower=False)
    with TemporaryDirectory(prefix="lookalike-benchmark-") as folder:
        os.environ["LOOKALIKE_PARTITIONS"] = str(PARTITIONS)
        with Stack(Path(folder), workers=workers) as stack:
            os.environ.update(stack.env)
            settings, vectors = WorkerSettings.from_env(), Vectors.random(counts[-1])
            name = collection(settings)
            with Client.from_env() as ours, closing(MilvusClient(settings.milvus_uri, dedicated=True)) as milvus:
                before = 0
                for rows in counts:
                    stored = vectors.first(rows)
                    fill(milvus, name, stored, before, lambda done: console.print(f"{done:,} rows", style="dim"))
                    before = rows
                    for company_id in (_COMPANY, None):
                        ways = _ways(ours, milvus, name, stored, company_id)
                        singles += _singles(ways, rows, company_id, rounds=20 if quick else 200)
                        many += _many(ways, rows, company_id, rounds=3 if quick else 20)
    notes = (
        f"{PARTITIONS} partitions, BIN_FLAT; a tenant has 1 row in 50. The calls of the three take turns.",
        f"{os.cpu_count()} cores for servers, worker and caller together.",
        "wrong: queries whose distances differ from those of FAISS, which is exact.",
    )
    yield Table("search", f"A search for the {_LIMIT} nearest, in ms", singles, notes)
    yield Table("search_many", f"{_MANY} queries in one call", many, notes)


def _ways(ours: Client, milvus: MilvusClient, name: str, vectors: Vectors, company_id: int | None) -> dict[str, Search]:
    flat = faiss.IndexBinaryFlat(BITS)
    flat.add(np.ascontiguousarray(vectors.bits if company_id is None else vectors.of_company(company_id)))
    scope: dict[str, Any] = {"all_companies": True} if company_id is None else {"company_id": company_id}

    def through_queue(queries: NDArray[np.uint8]) -> list[list[int]]:
        if len(queries) == 1:
            found = [ours.search(vector=queries[0].tobytes(), limit=_LIMIT, timeout=120, **scope)["matches"]]
        else:
            asked = [{"vector": query.tobytes().hex()} for query in queries]
            found = ours.search_many(asked, limit=_LIMIT, timeout=120, **scope)["results"]
        return [[match["distance"] for match in matches] for matches in found]

    def direct(queries: NDArray[np.uint8]) -> list[list[int]]:
        found = milvus.search(
            name,
            data=[query.tobytes() for query in queries],
            anns_field=VECTOR_FIELD,
            filter="" if company_id is None else f"company_id == {company_id}",
            limit=_LIMIT,
            output_fields=_FIELDS,
            search_params={"metric_type": METRIC},
            partition_names=None if company_id is None else [partition_name(company_id % PARTITIONS)],
            consistency_level="Bounded",
            timeout=120,
        )
        return [sorted(int(distance) for distance in hits.distances) for hits in found]

    def in_memory(queries: NDArray[np.uint8]) -> list[list[int]]:
        distances, _ = flat.search(queries, _LIMIT)
        return [[int(distance) for distance in row] for row in distances]

    return {_OURS: through_queue, _PYMILVUS: direct, _FAISS: in_memory}


def _queries(rounds: int, size: int) -> list[NDArray[np.uint8]]:
    return [Vectors.random(size, seed=1000 + number).bits for number in range(rounds)]


def _singles(ways: Mapping[str, Search], rows: int, company_id: int | None, rounds: int) -> Iterator[dict[str, Value]]:
    found = interleave(ways, _queries(rounds, 1), _FAISS, rounds)
    for name, timing in found.items():
        yield {
            "way": name,
            "rows": rows,
            "tenants": _tenants(company_id),
            "p50": timing.p50,
            "p95": timing.p95,
            "beside pymilvus": timing.p50 / found[_PYMILVUS].p50,
            "wrong": timing.wrong,
        }


def _many(ways: Mapping[str, Search], rows: int, company_id: int | None, rounds: int) -> Iterator[dict[str, Value]]:
    found = interleave(ways, _queries(rounds, _MANY), _FAISS, rounds)
    for name, timing in found.items():
        yield {
            "way": name,
            "rows": rows,
            "tenants": _tenants(company_id),
            "p50, ms": timing.p50,
            "queries/s": _MANY / timing.p50 * 1e3,
            "wrong": timing.wrong,
        }


def _tenants(company_id: int | None) -> str:
    return "all" if company_id is None else "one"


def plot(tables: Mapping[str, Table]) -> Figure:
    """Draw the medians by rows, a line for each way and scope."""
    figure = Figure(figsize=(7, 4.5))
    axes = figure.subplots()
    rows = tables["search"].rows
    for way, tenants in dict.fromkeys((str(row["way"]), str(row["tenants"])) for row in rows):
        line = [row for row in rows if (row["way"], row["tenants"]) == (way, tenants)]
        style = "-" if tenants == "one" else "--"
        shown = f"{way}, {tenants} tenant{'s' if tenants == 'all' else ''}"
        axes.plot(
            [_number(row["rows"]) for row in line],
            [_number(row["p50"]) for row in line],
            style,
            marker="o",
            label=shown,
        )
    axes.set(xscale="log", yscale="log", xlabel="rows", ylabel="p50, ms", title="A search for the 10 nearest")
    axes.grid(visible=True, which="both", alpha=0.2)
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.02, 1))
    return figure


def _number(value: Value) -> float:
    return float(value or 0)


SECTION: Final = Section("search", "a search by the queue, by pymilvus, and by FAISS, from 10 k rows", run, plot)
