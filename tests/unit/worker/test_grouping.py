"""Groups of rows that look alike, against their definition."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.core import grouping
from worker.core.grouping import Comparison, Places, Scratch, Separation, Words, collapse, list_members, near, to_words
from worker.testing import hamming

Pairs = list[tuple[int, int]]


def linked_by_definition(vectors: list[bytes], pairs: Pairs, max_distance: int) -> set[frozenset[int]]:
    """Single linkage: edges by distance and ids, refused where a group would hold a decided pair."""
    groups = {place: frozenset([place]) for place in range(len(vectors))}
    edges = sorted((hamming(vectors[a], vectors[b]), a, b) for a, b in combinations(range(len(vectors)), 2))
    for distance, a, b in edges:
        union = groups[a] | groups[b]
        if distance <= max_distance and not any(one in union and other in union for one, other in pairs):
            groups |= dict.fromkeys(union, union)
    return set(groups.values())


def stop_at(stops: list[int]) -> Callable[[], bool]:
    """Time that is over at each of these numbers of looks at the clock."""
    looks = iter(range(10**9))
    return lambda: next(looks) in stops


def link(vectors: list[bytes], pairs: Pairs, max_distance: int, stops: list[int]) -> Places:
    """What the engine makes of them, where it is stopped, dumped and begun again at these looks at the clock."""
    words = to_words(b"".join(vectors), 8 * len(vectors[0]))
    distinct, places = collapse(words)
    expired = stop_at(stops)
    comparison = Comparison(distinct, max_distance)
    while not comparison.advance(expired):
        comparison = Comparison(distinct, max_distance, comparison.dump())
    components = comparison.components()[places]
    separation = Separation(words, components, pairs, max_distance)
    while not separation.advance(expired):
        separation = Separation(words, components, pairs, max_distance, separation.dump())
    return separation.groups()


def as_sets(groups: Places) -> set[frozenset[int]]:
    """The groups, each as the places of its rows."""
    return {frozenset(np.flatnonzero(groups == group).tolist()) for group in groups}


@st.composite
def tenants(draw: st.DrawFn) -> tuple[list[bytes], Pairs, int]:
    """Some vectors of 64 or 256 bits that lie near each other, decided pairs among them, and a distance."""
    size = draw(st.sampled_from([8, 32]))
    # Few bits that differ make equal vectors, chains and ties.
    bits = draw(st.lists(st.sets(st.integers(0, 9), max_size=5), min_size=1, max_size=24))
    spread = size * 8 // 10
    vectors = [sum(1 << (bit * spread) for bit in some).to_bytes(size, "little") for some in bits]
    place = st.integers(0, len(vectors) - 1)
    pairs = draw(st.lists(st.tuples(place, place).filter(lambda pair: pair[0] != pair[1]), max_size=6))
    return vectors, pairs, draw(st.integers(0, 6))


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles so small that a few rows have many."""
    monkeypatch.setattr(grouping, "_TILE_ROWS", 3)
    monkeypatch.setattr(grouping, "_TILE_COLUMNS", 5)
    monkeypatch.setattr(grouping, "_BLOCK_PAIRS", 15)


@pytest.mark.usefixtures("small_tiles")
def test_groups_are_those_of_the_definition() -> None:
    """With decisions, and interrupted at any points and resumed from what was dumped."""

    @settings(max_examples=400, deadline=None)
    @given(tenants(), st.lists(st.integers(0, 60)))
    def check(tenant: tuple[list[bytes], Pairs, int], stops: list[int]) -> None:
        vectors, pairs, max_distance = tenant
        assert as_sets(link(vectors, pairs, max_distance, stops)) == linked_by_definition(vectors, pairs, max_distance)

    check()


@pytest.mark.parametrize(("bits", "max_distance"), [(64, 24), (256, 105), (256, 256)])
def test_random_vectors_are_grouped_as_by_definition(bits: int, max_distance: int) -> None:
    """Whole tiles of them, at a distance at which some are near and most are not, or all are."""
    words = np.random.default_rng(5).integers(0, 2**64, (150, bits // 64), np.uint64)
    vectors = [row.tobytes() for row in words]
    groups = as_sets(link(vectors, [(3, 4)], max_distance, []))
    assert groups == linked_by_definition(vectors, [(3, 4)], max_distance)
    assert len(groups) > 1


def test_near_vectors_are_found_at_every_distance() -> None:
    """Up to the greatest: the counts of long vectors do not overflow."""
    nothing: Words = np.zeros((1, 4), np.uint64)
    everything = ~nothing
    assert [list(map(len, near(nothing, everything, most, Scratch.of(1)))) for most in (255, 256)] == [[0, 0], [1, 1]]


def test_progress_grows_to_the_total() -> None:
    """Step by step."""
    words = np.arange(9000, dtype=np.uint64)[:, None]
    comparison = Comparison(words, 0)
    seen = [comparison.done]
    while not comparison.advance(lambda: True):
        seen.append(comparison.done)
    assert seen == sorted(seen)
    assert (seen[0], comparison.done) == (0, comparison.total)


def test_a_chain_is_one_group_whose_ends_are_far_apart() -> None:
    """Single linkage: each is near the next."""
    vectors = [((1 << 3 * step) - 1).to_bytes(8, "little") for step in range(5)]
    assert as_sets(link(vectors, [], 3, [])) == {frozenset(range(5))}
    assert as_sets(link(vectors, [], 2, [])) == {frozenset([place]) for place in range(5)}


def test_a_decided_pair_does_not_meet_through_a_third() -> None:
    """The third goes to the nearer one."""
    vectors = [bytes(8), b"\x0f" + bytes(7), b"\x01" + bytes(7)]
    assert as_sets(link(vectors, [(0, 1)], 4, [])) == {frozenset([0, 2]), frozenset([1])}


def test_members_are_listed_by_size_then_distance() -> None:
    """The representative is the one that was indexed first, and stands first; single rows are left out."""
    words = to_words(b"".join(bytes([number]) + bytes(7) for number in (0, 255, 1, 3, 254, 7, 64)), 64)
    groups = np.array([0, 1, 0, 0, 1, 0, 6], np.int32)
    members = list_members(words, groups, np.array([9, 5, 9, 2, 5, 9, 1], np.int64))
    assert members.rows.tolist() == [3, 2, 5, 0, 1, 4]
    assert members.representatives.tolist() == [3, 3, 3, 3, 1, 1]
    assert members.distances.tolist() == [0, 1, 1, 2, 0, 1]
    assert members.sizes.tolist() == [4, 4, 4, 4, 2, 2]
    assert members.groups == 2


def test_nothing_has_no_groups() -> None:
    """A tenant may have no rows."""
    words = to_words(b"", 64)
    distinct, places = collapse(words)
    comparison = Comparison(distinct, 3)
    assert comparison.advance(lambda: True)
    separation = Separation(words, comparison.components()[places], [], 3)
    assert separation.advance(lambda: True)
    assert list_members(words, separation.groups(), np.zeros(0, np.int64)).groups == 0
