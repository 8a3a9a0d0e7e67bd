"""How long it takes to group a tenant's pictures, in how much memory, and whether the groups are right."""

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.section import Section, Table, Value
from worker.core.grouping import Comparison, Places, Separation, Words, collapse, list_members, to_words

_COPIES: Final = 0.2  # of the rows, those that are copies of others, with some bits changed
_CHANGED: Final = 4
_DECIDED: Final = 100
_STEP_SECONDS: Final = 2.0
_MEGABYTE: Final = 1024  # of kilobytes


@dataclass(frozen=True, slots=True)
class Case:
    """A tenant.

    Attributes:
        rows: its pictures.
        bits: of a vector.
        max_distance: in bits.
        checked: whether the groups are compared with the reference's.
    """

    rows: int
    bits: int
    max_distance: int
    checked: bool = True


_CASES: Final = (Case(100_000, 64, 4), Case(100_000, 64, 8), Case(100_000, 256, 31), Case(1_000_000, 64, 4, False))
_QUICK: Final = (Case(2_000, 64, 4), Case(2_000, 256, 31))


@dataclass(frozen=True, slots=True)
class Spent:
    """What the engine took.

    Attributes:
        seconds: of processor time.
        wall: seconds by the clock.
        steps: how often it was stopped, dumped, and begun again from the dump.
        dumped: bytes of the last dump.
        megabytes: by which the process grew at its peak, its rows of vectors included.
        groups: for each row the place of one row of its group.
        numbers: the numbers of groups, and of rows in them.
    """

    seconds: float
    wall: float
    steps: int
    dumped: int
    megabytes: float
    groups: Places
    numbers: tuple[int, int]


def make_vectors(case: Case, seed: int = 1) -> Words:
    """Vectors as of photos: thresholds of smooth random fields, whose neighbouring bits agree; some have copies."""
    random = np.random.default_rng(seed)
    side = int(case.bits**0.5)
    unique = case.rows - int(case.rows * _COPIES)
    packed = np.empty((case.rows, case.bits // 8), np.uint8)
    for start in range(0, unique, 50_000):
        size = min(50_000, unique - start)
        field = random.standard_normal((size, side + 2, side + 2), np.float32)
        smooth = sum(field[:, y : y + side, x : x + side] for y in range(3) for x in range(3))
        flat = np.asarray(smooth).reshape(size, -1)
        packed[start : start + size] = np.packbits(flat > np.median(flat, axis=1, keepdims=True), axis=1)
    # Copies of few pictures and of many: some have one, some hundreds.
    of = (random.random(case.rows - unique) ** 2 * unique).astype(np.int64)
    bits = np.unpackbits(packed[of], axis=1)
    for _ in range(_CHANGED):
        bits[np.arange(len(of)), random.integers(0, case.bits, len(of))] ^= random.integers(0, 2, len(of), np.uint8)
    packed[unique:] = np.packbits(bits, axis=1)
    return to_words(packed[random.permutation(case.rows)].tobytes(), case.bits)


def group(case: Case, vectors: Path, pairs: list[tuple[int, int]]) -> Spent:
    """Group a tenant as the job does, in steps of two seconds, each begun from the dump of the one before."""
    before = _peak()
    words = np.load(vectors)
    wall, begun = time.perf_counter(), time.process_time()
    steps, state = 0, None
    while True:
        distinct, places = collapse(words)
        comparison = Comparison(distinct, case.max_distance, state)
        deadline = time.perf_counter() + _STEP_SECONDS
        finished = comparison.advance(lambda: time.perf_counter() >= deadline)  # noqa: B023 - called in this round
        steps, state = steps + 1, comparison.dump()
        if finished:
            break
    separation = Separation(words, comparison.components()[places], pairs, case.max_distance)
    separation.advance(lambda: False)
    groups = separation.groups()
    members = list_members(words, groups, np.arange(case.rows, dtype=np.int64))
    seconds, wall = time.process_time() - begun, time.perf_counter() - wall
    numbers = members.groups, len(members.rows)
    return Spent(seconds, wall, steps, len(state), (_peak() - before) / _MEGABYTE, groups, numbers)


def reference(words: Words, max_distance: int, pairs: list[tuple[int, int]]) -> NDArray[np.int64]:
    """Group by the definition: each row against all later ones; edges in order; a dictionary of sets.

    Returns:
        For each row the least place of its group.
    """
    edges: list[list[NDArray[np.int64]]] = [[] for _ in range(max_distance + 1)]
    for row in range(len(words)):
        counted = np.bitwise_count(words[row + 1 :] ^ words[row]).sum(axis=1)
        for near in np.flatnonzero(counted <= max_distance).tolist():
            edges[int(counted[near])].append(np.array([row, row + 1 + near]))
    label, members = list(range(len(words))), {row: [row] for row in range(len(words))}
    for one, other in (edge.tolist() for some in edges for edge in some):
        low, high = sorted((label[one], label[other]))
        if low == high or any({label[a], label[b]} == {low, high} for a, b in pairs):
            continue
        for row in members[high]:
            label[row] = low
        members[low] += members.pop(high)
    least = {name: min(rows) for name, rows in members.items()}
    return np.array([least[name] for name in label])


def _decided(case: Case, words: Words) -> list[tuple[int, int]]:
    """Some decided pairs that really meet: rows and the first that is near each."""
    pairs: list[tuple[int, int]] = []
    for row in range(case.rows):
        near = np.flatnonzero(np.bitwise_count(words ^ words[row]).sum(axis=1) <= case.max_distance)
        pairs += [(row, int(other)) for other in near[near > row][:1]]
        if len(pairs) >= _DECIDED:
            break
    return pairs


def _peak() -> int:
    """The most memory that this process has had resident, in kilobytes. getrusage counts what it was forked from."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0])


def run(console: Console, quick: bool) -> Iterator[Table]:
    """Group each tenant in a process of its own, then by the definition."""
    rows: list[dict[str, Value]] = []
    for case in _QUICK if quick else _CASES:
        console.print(f"{case.rows:,} rows of {case.bits} bits, distance {case.max_distance}", style="dim")
        words = make_vectors(case)
        pairs = _decided(case, words)
        with (
            TemporaryDirectory(prefix="lookalike-benchmark-") as folder,
            ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        ):
            vectors = Path(folder) / "vectors.npy"
            np.save(vectors, words)
            spent = pool.submit(group, case, vectors, pairs).result()
        same: Value = None
        if case.checked:
            expected = reference(words, case.max_distance, pairs)
            same = "yes" if np.array_equal(_least(spent.groups), expected) else "NO"
        rows.append(
            {
                "rows": case.rows,
                "bits": case.bits,
                "distance": case.max_distance,
                "CPU s": spent.seconds,
                "s by the clock": spent.wall,
                "steps": spent.steps,
                "peak MB": spent.megabytes,
                "dump MB": spent.dumped / 1e6,
                "groups": spent.numbers[0],
                "rows in groups": spent.numbers[1],
                "as by definition": same,
            }
        )
        console.print(str(rows[-1]), style="dim", highlight=False)
    notes = (
        "Synthetic vectors: thresholds of smooth random fields; a fifth are copies with up to 4 bits changed.",
        "Of up to 100 pairs it was decided that they are no duplicates.",
        "Every step begins from the dump of the one before. The engine alone: without reading the rows and Redis.",
        "The reference compares each row with all later ones, and links the edges in order.",
    )
    yield Table("engine", "Grouping all pictures of a tenant, one process", rows, notes)


def _least(groups: Places) -> NDArray[np.int64]:
    """For each row the least place of its group."""
    _, first, place = np.unique(groups, return_index=True, return_inverse=True)
    least: NDArray[np.int64] = first[place]
    return least


SECTION: Final = Section("duplicates", "grouping a tenant's pictures: time, memory, and whether it is right", run)
