"""Groups of rows that look alike: single linkage by Hamming distance, in arrays, a step at a time.

A row is named by its place in arrays that are in the order of the rows' ids. Vectors are uint64 of shape (rows, words),
one word for 64 bits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int32]

# A tile's XOR takes a megabyte, which stays in the second cache: 0.7 ns a pair, the least of seven shapes measured.
_TILE_ROWS: Final = 32
_TILE_COLUMNS: Final = 4096
_BLOCK_PAIRS: Final = _TILE_ROWS * _TILE_COLUMNS


def to_words(vectors: bytes, bits: int) -> Words:
    """Read packed vectors of a multiple of 64 bits, one after the other, as words."""
    return np.frombuffer(vectors, np.uint64).reshape(-1, bits // 64)


def collapse(words: Words) -> tuple[Words, Places]:
    """Find the distinct vectors, and for each row the place of its own among them."""
    places = np.zeros(len(words), np.int32)
    if not len(words):
        return words, places
    order = np.lexsort(words.T)
    ordered = words[order]
    new = np.ones(len(words), bool)
    np.any(ordered[1:] != ordered[:-1], axis=1, out=new[1:])
    places[order] = np.cumsum(new) - 1
    return np.ascontiguousarray(ordered[new]), places


def distances(some: Words, others: Words) -> npt.NDArray[np.uint16]:
    """The Hamming distances of vectors, in bits. The shapes but for the words are broadcast."""
    counted: npt.NDArray[np.uint16] = np.bitwise_count(some ^ others).sum(axis=-1, dtype=np.uint16)
    return counted


def find_roots(parents: Places, places: Places) -> Places:
    """Find the roots of places in a disjoint-set forest, with path halving (Tarjan and van Leeuwen, 1984)."""
    while True:
        up = parents[places]
        if np.array_equal(up, places):
            return places
        parents[places] = parents[up]
        places = parents[places]


def unite(parents: Places, some: Places, others: Places) -> None:
    """Unite the sets of each pair of places. A set's root is its least place."""
    while some.size:
        some, others = find_roots(parents, some), find_roots(parents, others)
        apart = some != others
        some, others = some[apart], others[apart]
        # Where several pairs have the same higher root one of them is kept, and the next round has the rest.
        parents[np.maximum(some, others)] = np.minimum(some, others)


class Comparison:
    """Compares every vector with every other, and unites those that are near: connected components."""

    def __init__(self, words: Words, max_distance: int, state: bytes | None = None) -> None:
        """Begin, or go on.

        Args:
            words: distinct vectors.
            max_distance: the largest distance, in bits, of vectors that are united.
            state: what `dump` gave for the same vectors and distance.
        """
        self._words = words
        self._most = max_distance
        self._scratch = Scratch.of(_TILE_ROWS * _TILE_COLUMNS)
        self._row, self._column = 0, 0
        self._parents: Places = np.arange(len(words), dtype=np.int32)
        if state is not None:
            self._row, self._column = map(int, np.frombuffer(state, np.int64, 2))
            self._parents = np.frombuffer(state, np.int32, offset=16).copy()

    @property
    def total(self) -> int:
        """The number of pairs."""
        return self._left(0)

    @property
    def done(self) -> int:
        """About how many pairs are compared."""
        begun = max(0, self._column - self._row) * _TILE_ROWS
        left = self._left(self._row)
        return self.total - left + min(begun, left - self._left(self._row + _TILE_ROWS))

    def dump(self) -> bytes:
        """What a comparison needs to go on from here: 16 bytes, and 4 for each vector."""
        return np.array([self._row, self._column], np.int64).tobytes() + self._parents.tobytes()

    def advance(self, expired: Callable[[], bool]) -> bool:
        """Compare until there is nothing left, or, after a tile at the least, the time is over. Is it finished?"""
        while self._row < len(self._words):
            self._compare_tile()
            self._column += _TILE_COLUMNS
            if self._column >= len(self._words):
                self._row += _TILE_ROWS
                self._column = self._row
            if expired():
                break
        return self._row >= len(self._words)

    def components(self) -> Places:
        """For each vector the least place of its component."""
        return find_roots(self._parents, np.arange(len(self._words), dtype=np.int32))

    def _left(self, row: int) -> int:
        """The number of pairs from a row on."""
        rows = max(0, len(self._words) - row)
        return rows * (rows - 1) // 2

    def _compare_tile(self) -> None:
        some = self._words[self._row : self._row + _TILE_ROWS]
        others = self._words[self._column : self._column + _TILE_COLUMNS]
        rows, columns = near(some, others, self._most, self._scratch)
        if not len(rows):
            return
        rows, columns = rows + self._row, columns + self._column
        upper = rows < columns
        unite(self._parents, rows[upper].astype(np.int32), columns[upper].astype(np.int32))


class Scratch(NamedTuple):
    """Room for the XOR of a tile and its counts: made anew for each tile, their page faults take most of the time."""

    xor: npt.NDArray[np.uint64]
    counts: npt.NDArray[np.uint8]
    sum: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, pairs: int) -> "Scratch":
        """Make room for so many pairs."""
        return cls(np.empty(pairs, np.uint64), np.empty(pairs, np.uint8), np.empty(pairs, np.uint8))


def near(
    some: Words, others: Words, max_distance: int, scratch: Scratch
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Find the pairs of two lists of vectors that are no farther apart than this: their places in each, in order.

    Of long vectors the first half is compared first: what is too far by that is so by the whole.
    """
    shape, pairs, words = (len(some), len(others)), len(some) * len(others), some.shape[1]
    half = max(1, words // 2)
    xor, counts, total = (room[:pairs].reshape(shape) for room in scratch)
    for word in range(half):
        np.bitwise_xor(some[:, None, word], others[None, :, word], out=xor)
        np.bitwise_count(xor, out=counts if word else total)
        if word:
            total += counts  # 128 at the most
    found = np.flatnonzero(total.ravel() <= max_distance)
    rows, columns = np.divmod(found, len(others))
    if half < words:
        left = distances(some[rows, half:], others[columns, half:])
        kept = left + total[rows, columns] <= max_distance
        rows, columns = rows[kept], columns[kept]
    return rows, columns


class Separation:
    """Keeps decided pairs apart: single linkage under cannot-link constraints.

    Components without such a pair stay as they are. In each of the others the edges are taken in the order of distance,
    then of the lesser id, then of the greater; an edge unites two groups unless one would hold a decided pair then.
    """

    def __init__(
        self,
        words: Words,
        components: Places,
        pairs: Sequence[tuple[int, int]],
        max_distance: int,
        state: bytes | None = None,
    ) -> None:
        """Begin, or go on.

        Args:
            words: the vector of each row.
            components: for each row a number that its component has, and no other.
            pairs: places of rows that must not be in one group.
            max_distance: the largest distance of an edge, in bits.
            state: what `dump` gave for the same arguments.
        """
        self._words = words
        self._most = max_distance
        self._pairs = [(a, b) for a, b in pairs if a != b and components[a] == components[b]]
        self._nodes = self._affected(components)
        self._component, self._distance, self._row = 0, 0, 0
        if state is None:
            self._parents = self._begin(components)
        else:
            self._component, self._distance, self._row = map(int, np.frombuffer(state, np.int64, 3))
            self._parents = np.frombuffer(state, np.int32, offset=24).copy()
        self._apart = self._enemies()

    @property
    def total(self) -> int:
        """The number of passes over a component: one for each that has decided pairs, and each distance."""
        return len(self._nodes) * (self._most + 1)

    @property
    def done(self) -> int:
        """The number of passes that are done."""
        return self._component * (self._most + 1) + self._distance

    def dump(self) -> bytes:
        """What a separation needs to go on from here: 24 bytes, and 4 for each row."""
        position = np.array([self._component, self._distance, self._row], np.int64)
        return position.tobytes() + self._parents.tobytes()

    def advance(self, expired: Callable[[], bool]) -> bool:
        """Take edges until there are no more, or, after a block at the least, the time is over. Is it finished?"""
        while self._component < len(self._nodes):
            nodes = self._nodes[self._component]
            self._row += self._take_block(nodes)
            if self._row >= len(nodes):
                self._row = 0
                self._distance += 1
            if self._distance > self._most:
                self._distance = 0
                self._component += 1
            if expired():
                break
        return self._component >= len(self._nodes)

    def groups(self) -> Places:
        """For each row the place of one row of its group."""
        return find_roots(self._parents, np.arange(len(self._words), dtype=np.int32))

    def _affected(self, components: Places) -> list[Places]:
        """The nodes of each component that has a decided pair: the first row of each vector, and rows of pairs.

        Any other row has the vector of a row before it, and the edge to that one is its first: it is always taken. Its
        other edges come later than the same edges of that row, and change nothing.
        """
        self._first = np.arange(len(self._words), dtype=np.int32)
        nodes = []
        decided = {place for pair in self._pairs for place in pair}
        for component in sorted({int(components[a]) for a, _ in self._pairs}):
            rows = np.flatnonzero(components == component).astype(np.int32)
            _, vector = collapse(self._words[rows])
            _, first = np.unique(vector, return_index=True)
            stands = rows[first][vector]
            own = np.isin(rows, list(decided))
            self._first[rows[~own]] = stands[~own]
            nodes.append(rows[self._first[rows] == rows])
        return nodes

    def _begin(self, components: Places) -> Places:
        _, first, place = np.unique(components, return_index=True, return_inverse=True)
        parents = first.astype(np.int32)[place]
        affected = np.isin(components, [components[a] for a, _ in self._pairs])
        parents[affected] = self._first[affected]
        return parents

    def _enemies(self) -> dict[int, set[int]]:
        """For each group that has a row of a decided pair, the groups that it must not be united with."""
        apart: dict[int, set[int]] = {}
        for a, b in self._pairs:
            one, other = self._find(a), self._find(b)
            apart.setdefault(one, set()).add(other)
            apart.setdefault(other, set()).add(one)
        return apart

    def _take_block(self, nodes: Places) -> int:
        """Take the edges of some rows at the present distance. How many rows those were?"""
        size = max(1, _BLOCK_PAIRS // len(nodes))
        block = nodes[self._row : self._row + size]
        others = nodes[self._row :]
        rows, columns = np.nonzero(distances(self._words[block][:, None], self._words[others][None]) == self._distance)
        upper = rows < columns
        self._take(block[rows[upper]], others[columns[upper]])
        return size

    def _take(self, some: Places, others: Places) -> None:
        """Take edges in their order. Two groups that were not united by their first edge are not by another."""
        one, other = find_roots(self._parents, some), find_roots(self._parents, others)
        apart = one != other
        one, other = one[apart].astype(np.int64), other[apart].astype(np.int64)
        _, first = np.unique(np.minimum(one, other) << 32 | np.maximum(one, other), return_index=True)
        first.sort()
        for a, b in zip(one[first].tolist(), other[first].tolist(), strict=True):
            self._unite(self._find(a), self._find(b))

    def _unite(self, one: int, other: int) -> None:
        if one == other or other in self._apart.get(one, ()):
            return
        kept, gone = min(one, other), max(one, other)
        self._parents[gone] = kept
        for enemy in self._apart.pop(gone, ()):
            self._apart[enemy].remove(gone)
            self._apart[enemy].add(kept)
            self._apart.setdefault(kept, set()).add(enemy)

    def _find(self, place: int) -> int:
        while (up := int(self._parents[place])) != place:
            self._parents[place] = self._parents[up]
            place = up
        return place


@dataclass(frozen=True, slots=True)
class Members:
    """The rows of the groups of two and more, group after group.

    Attributes:
        rows: their places. A group begins with its representative; the others follow by distance, then id. Larger
            groups come first, equal ones by the ids of their representatives.
        representatives: for each of them the place of its group's representative.
        distances: for each of them the distance to that, in bits.
        sizes: for each of them the size of its group.
    """

    rows: Places
    representatives: Places
    distances: npt.NDArray[np.uint16]
    sizes: Places

    @property
    def groups(self) -> int:
        """The number of groups."""
        return int(np.count_nonzero(self.rows == self.representatives))


def list_members(words: Words, groups: Places, indexed_at: npt.NDArray[np.int64]) -> Members:
    """List the members of the groups.

    Args:
        words: the vector of each row.
        groups: for each row the place of one row of its group, for all of them the same.
        indexed_at: when each row was made. The first of a group represents it; of several, that of the least id.
    """
    sizes = np.bincount(groups, minlength=len(groups)).astype(np.int32)[groups]
    rows = np.flatnonzero(sizes > 1).astype(np.int32)
    by_age = rows[np.lexsort((rows, indexed_at[rows], groups[rows]))]
    _, first = np.unique(groups[by_age], return_index=True)
    representative = np.zeros(len(groups), np.int32)
    representative[groups[by_age[first]]] = by_age[first]
    represented_by = representative[groups[rows]]
    distance = distances(words[rows], words[represented_by])
    order = np.lexsort((rows, distance, rows != represented_by, represented_by, -sizes[rows]))
    return Members(rows[order], represented_by[order], distance[order], sizes[rows][order])
