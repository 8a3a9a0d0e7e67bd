"""An audit finds what differs, all of it, and nothing that does not: against a plain definition, on any bucket."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contract import UploadEvent, row_id
from contract.audit import Inspected, ListedObject, ObjectsResult, PictureRow, RowsResult, StoredRow
from producer.auditing import Audit, AuditCounts, Difference, DifferenceKind, Store
from producer.auditing.audit import DOUBTFUL_MS

MISSING, CHANGED, ORPHANED, UNMAPPED, DEAD = DifferenceKind
HOUR = 3_600_000


@dataclass(frozen=True)
class Thing:
    """An object: when it was written, its content, whose it is, and whether its key says so."""

    modified: int = HOUR
    crc: int | None = 1
    ids: tuple[int, int] | None = None
    by_key: bool = True
    size: int = 1


@dataclass(frozen=True)
class Indexed:
    """A row: its object, the content that it is of, and when it was made."""

    key: str
    crc: int = 1
    indexed_at: int = 2 * HOUR


@dataclass
class World:
    """A bucket and a collection, and workers that tell of them in small pages."""

    objects_: dict[str, Thing] = field(default_factory=dict)
    rows_: dict[tuple[int, int], Indexed] = field(default_factory=dict)
    dead: dict[str, int] = field(default_factory=dict)
    prefix: str = ""
    inspected: int = 0

    def objects(self, after: str, limit: int) -> ObjectsResult:
        """A page of three."""
        assert limit > 0
        keys = sorted((key for key in self.objects_ if key.startswith(self.prefix)), key=str.encode)
        page = [key for key in keys if key.encode() > after.encode()][:3]
        listed = []
        for key in page:
            one = self.objects_[key]
            company_id, meta_id = (one.ids if one.by_key else None) or (None, None)
            listed.append(
                ListedObject(
                    object_key=key, modified=one.modified, size=one.size, company_id=company_id, meta_id=meta_id
                )
            )
        return ObjectsResult(objects=listed, next=page[-1] if len(page) == 3 else None)

    def rows(self, after: int, limit: int) -> RowsResult:
        """A page of three."""
        assert limit > 0
        found = sorted((row_id(*ids), ids) for ids in self.rows_)
        page = [one for one in found if one[0] > after][:3]
        rows = [
            StoredRow(
                id=id_,
                company_id=ids[0],
                meta_id=ids[1],
                object_key=self.rows_[ids].key,
                indexed_at=self.rows_[ids].indexed_at,
            )
            for id_, ids in page
        ]
        return RowsResult(hash="ahash", rows=rows, next=page[-1][0] if len(page) == 3 else None)

    def inspect(self, items: list[dict[str, Any]]) -> list[Inspected]:
        """A closer look."""
        assert 1 <= len(items) <= 100
        self.inspected += len(items)
        return [self._inspect(**item) for item in items]

    def _inspect(self, object_key: str, company_id: int | None = None, meta_id: int | None = None) -> Inspected:
        one = self.objects_.get(object_key)
        known = (company_id, meta_id) if company_id is not None and meta_id is not None else (one.ids if one else None)
        row = None if known is None else self.rows_.get(known)
        return Inspected(
            there=one is not None,
            crc=None if one is None else one.crc,
            company_id=None if known is None else known[0],
            meta_id=None if known is None else known[1],
            row=None if row is None else PictureRow(object_key=row.key, content_crc=row.crc, indexed_at=row.indexed_at),
        )

    def audit(self, *, deep: bool = False) -> tuple[Counter[Difference], AuditCounts]:
        """Compare."""
        with Store(None) as store:
            audit = Audit(self, store, prefix=self.prefix, deep=deep)
            found = Counter(audit.differences(self.dead.items()))
        assert sum(found.values()) == sum(audit.counts.differences.values())
        return found, audit.counts

    def mend(self, found: Counter[Difference]) -> None:
        """Do what workers do with the events."""
        times = count(10 * HOUR)
        for difference in found:
            event = difference.event()
            if event is None:
                continue
            ids = (event.company_id, event.meta_id)
            one, row = self.objects_.get(event.object_key), self.rows_.get(ids)
            if event.when == "removed":
                if one is None and row is not None and row.key == event.object_key:
                    del self.rows_[ids]
            elif one is not None:
                self.rows_[ids] = Indexed(event.object_key, one.crc or 0, next(times))


def expected(world: World) -> Counter[Difference]:
    """The differences by their definition, each object and row by itself."""
    found: Counter[Difference] = Counter()
    for key, one in world.objects_.items():
        if key.startswith(world.prefix):
            for kind, ids in wrong_of(world, key, one):
                given_up = kind is not UNMAPPED and world.dead.get(key, -1) >= one.modified
                found[Difference(DEAD if given_up else kind, key, *(ids or ()))] += 1
    for ids, row in world.rows_.items():
        if row.key.startswith(world.prefix) and row.key not in world.objects_:
            found[Difference(ORPHANED, row.key, *ids)] += 1
    return found


def wrong_of(world: World, key: str, one: Thing) -> list[tuple[DifferenceKind, tuple[int, int] | None]]:
    """What is wrong with an object."""
    rows = {ids: row for ids, row in world.rows_.items() if row.key == key}
    if rows:
        return [
            (CHANGED, ids)
            for ids, row in rows.items()
            if (one.modified > row.indexed_at if one.crc is None else one.crc != row.crc)
        ]
    if one.size == 0 and key.endswith("/"):
        return []
    if one.ids is None:
        return [(UNMAPPED, None)]
    other = world.rows_.get(one.ids)
    if other is None or other.key not in world.objects_:
        return [(MISSING, one.ids)]
    return [(CHANGED, one.ids)] if one.modified > other.indexed_at else []


KEYS = st.sampled_from(["a/1", "a/2", "a/é", "a/\U0001f408", "a/\ufffd", "b", "b/", "b/1", "c", "", "a"]).filter(bool)
IDS = st.tuples(st.integers(1, 2), st.integers(1, 3))
TIMES = st.sampled_from([HOUR, 2 * HOUR - DOUBTFUL_MS - 1, 2 * HOUR, 3 * HOUR])
THINGS = st.builds(
    Thing,
    modified=TIMES,
    crc=st.sampled_from([1, 2, None]),
    ids=IDS | st.none(),
    by_key=st.booleans(),
    size=st.sampled_from([0, 1]),
)
WORLDS = st.builds(
    World,
    objects_=st.dictionaries(KEYS, THINGS),
    rows_=st.dictionaries(IDS, st.builds(Indexed, key=KEYS, crc=st.sampled_from([1, 2]))),
    dead=st.dictionaries(KEYS, TIMES),
    prefix=st.sampled_from(["", "a", "a/", "b", "z"]),
)


@given(WORLDS)
@settings(max_examples=500, deadline=None)
def test_what_differs_is_found_and_nothing_else(world: World) -> None:
    """Looking at every object."""
    found, counts = world.audit(deep=True)
    assert found == expected(world)
    assert counts.objects >= sum(found.values()) - counts.differences[ORPHANED] - len(world.rows_)


@given(WORLDS)
@settings(max_examples=300, deadline=None)
def test_what_is_mended_is_not_found_again(world: World) -> None:
    """Where a row named the object of another picture, that picture is missing when the row has its own object."""
    mistaken = {
        row.key
        for ids, row in world.rows_.items()
        if (one := world.objects_.get(row.key)) is not None and one.ids not in {None, ids}
    }
    found, _ = world.audit(deep=True)
    world.mend(found)
    left, _ = world.audit(deep=True)
    assert {one.object_key for one in left if one.kind not in {UNMAPPED, DEAD}} <= mistaken
    for _ in mistaken:
        world.mend(left)
        left, _ = world.audit(deep=True)
    assert {one.kind for one in left} <= {UNMAPPED, DEAD}


@given(WORLDS)
@settings(max_examples=200, deadline=None)
def test_without_doubt_the_times_are_believed(world: World) -> None:
    """An object that was written long before its row was made has not changed since."""
    sure = {
        Difference(CHANGED, row.key, *ids)
        for ids, row in world.rows_.items()
        if row.key in world.objects_ and world.objects_[row.key].modified <= row.indexed_at - DOUBTFUL_MS
    }
    found, _ = world.audit()
    unseen = expected(world) - found
    assert not found - expected(world)
    assert {Difference(CHANGED, one.object_key, one.company_id, one.meta_id) for one in unseen} <= sure


def test_nothing_is_asked_where_nothing_is_in_doubt() -> None:
    """A look costs a request to OSS."""
    world = World({f"a/{n}": Thing(ids=(1, n)) for n in range(500)}, {(1, n): Indexed(f"a/{n}") for n in range(500)})
    found, counts = world.audit()
    assert (found, world.inspected) == (Counter(), 0)
    assert (counts.objects, counts.rows, counts.looked, counts.superseded) == (500, 500, 0, 0)
    _, counts = world.audit(deep=True)
    assert counts.looked == world.inspected == 500


def test_an_earlier_object_of_a_picture_is_superseded() -> None:
    """It is no difference: to enqueue it would only take the row from the later one, for ever."""
    world = World(
        {"a": Thing(modified=1, ids=(1, 1)), "b": Thing(modified=2, ids=(1, 1))}, {(1, 1): Indexed("b", indexed_at=3)}
    )
    found, counts = world.audit()
    assert (found, counts.superseded) == (Counter(), 1)


class Hasty(World):
    """What is wrong when it is listed is right when it is looked at."""

    def inspect(self, items: list[dict[str, Any]]) -> list[Inspected]:
        """Somebody mended it meanwhile."""
        self.mend(expected(self))
        return super().inspect(items)


@given(WORLDS)
@settings(max_examples=100, deadline=None)
def test_what_was_mended_meanwhile_is_not_told(world: World) -> None:
    """Everything is looked at twice."""
    hasty = Hasty(world.objects_, world.rows_, world.dead, world.prefix)
    found, _ = hasty.audit(deep=True)
    assert {difference.kind for difference in found} <= {UNMAPPED, DEAD, MISSING}
    assert all(one.kind is not MISSING or hasty.dead for one in found)


def test_what_mends_a_difference() -> None:
    """An event; a removal on the condition that the object is gone."""
    event = UploadEvent(object_key="a", meta_id=2, company_id=1)
    assert Difference(MISSING, "a", 1, 2).event() == Difference(CHANGED, "a", 1, 2).event() == event
    assert Difference(ORPHANED, "a", 1, 2).event() == event.model_copy(update={"when": "removed"})
    assert Difference(UNMAPPED, "a").event() is Difference(DEAD, "a", 1, 2).event() is None
