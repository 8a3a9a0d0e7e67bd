"""The groups of a tenant, a step and a page at a time, with doubles of the index and of Redis."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from contract import PROFILES, InvalidMessage, row_id
from contract.duplicates import DuplicatesOptions, DuplicatesResult
from producer.duplicates import read_groups
from worker.core.errors import Busy
from worker.services import duplicates
from worker.services.duplicates import Duplicates
from worker.testing import MemoryIndex, make_row

COMPANY = 1


@dataclass
class State:
    """Jobs in memory, in JSON and bytes as Redis has them."""

    kept: dict[str, tuple[str, int, dict[str, bytes]]] = field(default_factory=dict)
    busy: bool = False

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Have a job alone."""
        if self.busy:
            raise Busy(name)
        yield

    def load(self, name: str) -> tuple[Any, int] | None:
        """Read a checkpoint."""
        return (json.loads(self.kept[name][0]), self.kept[name][1]) if name in self.kept else None

    def read(self, name: str, part: str) -> bytes | None:
        """Read a part."""
        return self.kept[name][2].get(part)

    def save(
        self, name: str, checkpoint: Any, parts: Mapping[str, bytes], *, version: int | None, anew: bool = False
    ) -> int:
        """Write a checkpoint and parts."""
        _, kept, before = self.kept.get(name, ("", None, {}))
        if kept != version:
            raise Busy(name)
        after = (version or 0) + 1
        self.kept[name] = json.dumps(checkpoint), after, {**({} if anew else before), **parts}
        return after


@dataclass
class Tenant:
    """A tenant's rows, what was decided, and calls that are over after each step."""

    index: MemoryIndex = field(default_factory=MemoryIndex)
    state: State = field(default_factory=State)
    decided: list[tuple[int, int]] = field(default_factory=list)
    seconds: float = 0.0
    known: bool = True

    def distance_of(self, company_id: int, chance: float) -> int | None:
        """A bit for each hundredth, where anything is known of chances."""
        assert company_id == COMPANY
        return int(chance * 100) if self.known else None

    def add(self, meta_id: int, number: int, **row: Any) -> None:
        """Index a picture whose vector is a number."""
        self.index.upsert([make_row(meta_id, vector=number.to_bytes(8, "big"), object_key=f"{meta_id}.jpg", **row)])

    def add_pairs(self) -> None:
        """Index four pairs more: enough for several pages."""
        for meta_id in range(20, 28):
            self.add(meta_id, 0xFF << 8 * (3 + (meta_id - 20) // 2))

    def call(self, arguments: Mapping[str, Any]) -> DuplicatesResult:
        """Do a step, on a worker that knows nothing of the one before."""
        ticks = count()
        job = Duplicates(
            self.index,
            self.state,
            PROFILES["ahash"],
            lambda _: self.decided,
            self.distance_of,
            seconds=self.seconds,
            clock=lambda: float(next(ticks)),
        )
        return job(DuplicatesOptions(company_id=COMPANY, **arguments))

    def groups(self, **arguments: Any) -> list[list[tuple[int, int]]]:
        """All groups: of each member its meta id and its distance."""
        found = read_groups(self.call, {"max_distance": 2} | arguments)
        return [[(member["meta_id"], member["distance"]) for member in group["members"]] for group in found]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages and parts so small that a few rows have many."""
    monkeypatch.setattr(duplicates, "PAGE", 3)
    monkeypatch.setattr(duplicates, "_PART", 3)
    monkeypatch.setattr(duplicates, "PAGE_MEMBERS", 4)


@pytest.fixture
def tenant() -> Tenant:
    """A chain of four, a pair, and single pictures."""
    tenant = Tenant()
    for meta_id, number in enumerate((0b0000, 0b0011, 0b1111, 0b111111, 0xF00000, 0xF10000, 0xAAAA << 40)):
        tenant.add(meta_id, number, indexed_at=100 - meta_id)
    return tenant


@pytest.mark.parametrize("seconds", [0.0, 2.0, 1e9])
def test_groups_are_handed_out_in_pages(tenant: Tenant, seconds: float) -> None:
    """Whole, larger ones first, however many calls there are; the one indexed first stands for its group."""
    tenant.seconds = seconds
    assert tenant.groups() == [[(3, 0), (2, 2), (1, 4), (0, 6)], [(5, 0), (4, 1)]]


def test_a_call_says_how_far_it_is(tenant: Tenant) -> None:
    """Each stage counts to its own total."""
    seen: list[DuplicatesResult] = []
    (group, _) = read_groups(tenant.call, {"max_distance": 2}, progress=seen.append)
    assert [(one["state"], one["done"], one["total"]) for one in seen][:3] == [
        ("reading", 3, 7),
        ("reading", 6, 7),
        ("comparing", 0, 21),
    ]
    assert seen[-1]["state"] == "done"
    assert seen[-1]["groups"] == 2
    assert group["members"][0] == {"id": row_id(COMPANY, 3), "meta_id": 3, "object_key": "3.jpg", "distance": 0}
    assert (group["representative"], group["size"]) == (row_id(COMPANY, 3), 4)


def test_a_large_group_goes_on_in_the_next_page(tenant: Tenant) -> None:
    """The client has it in one piece."""
    for meta_id in range(100, 111):
        tenant.add(meta_id, 0b1111)
    (first, _) = tenant.groups()
    assert len(first) == 15
    first_page = tenant.call({"max_distance": 2, "restart": True})
    while first_page["state"] != "done":
        first_page = tenant.call({"max_distance": 2})
    assert [(group["size"], len(group["members"])) for group in first_page["page"]] == [(15, 4)]


def test_decisions_are_respected_the_next_time(tenant: Tenant) -> None:
    """A decided pair does not meet through a third picture. Taken back, it does."""
    assert len(tenant.groups()[0]) == 4
    tenant.decided = [(1, 2), (0, 77)]
    assert [[meta_id for meta_id, _ in group] for group in tenant.groups()] in (
        [[1, 0], [3, 2], [5, 4]],
        [[3, 2], [1, 0], [5, 4]],
        [[3, 2], [5, 4], [1, 0]],
        [[1, 0], [5, 4], [3, 2]],
        [[5, 4], [1, 0], [3, 2]],
        [[5, 4], [3, 2], [1, 0]],
    )
    tenant.decided = []
    assert len(tenant.groups()[0]) == 4


def test_a_decision_begins_a_job_under_way_anew(tenant: Tenant) -> None:
    """It must not be lost on the rest of it."""
    while tenant.call({"max_distance": 2})["state"] != "done":
        pass
    tenant.decided = [(4, 5)]
    assert tenant.call({"max_distance": 2})["state"] == "reading"
    assert len(tenant.groups()) == 1


def test_a_job_that_was_handed_out_is_done_anew(tenant: Tenant) -> None:
    """And sees what was indexed since; one that was interrupted while it was read is not."""
    tenant.add_pairs()
    next(read_groups(tenant.call, {"max_distance": 2}))
    tenant.add(7, 0xAAAA << 40)
    assert len(tenant.groups()) == 6
    assert len(tenant.groups()) == 7


def test_restart_begins_anew(tenant: Tenant) -> None:
    """Whatever is done already, and in the first call only."""
    while tenant.call({"max_distance": 2})["state"] != "done":
        pass
    tenant.add(7, 0xAAAA << 40)
    assert len(tenant.groups(restart=True)) == 3


def test_blank_pictures_are_left_out(tenant: Tenant) -> None:
    """Unless they are asked for, which is a job of its own."""
    tenant.add(8, 0xAAAA << 40, quality=9)
    assert len(tenant.groups()) == 2
    assert len(tenant.groups(low_quality=True)) == 3


def test_other_tenants_are_left_alone(tenant: Tenant) -> None:
    """Two tenants have the same picture, and no duplicate."""
    tenant.index.upsert([make_row(6, 2, vector=(0xAAAA << 40).to_bytes(8, "big"))])
    assert len(tenant.groups()) == 2


def test_pictures_that_went_meanwhile_are_left_out(tenant: Tenant) -> None:
    """Deleted ones and replaced ones; a group of which one is left is none."""
    while tenant.call({"max_distance": 2})["state"] != "done":
        pass
    tenant.index.delete({row_id(COMPANY, 4): COMPANY})
    tenant.add(1, 0b0011, indexed_at=1000)
    assert tenant.groups() == [[(3, 0), (2, 2), (0, 6)]]


def test_a_distance_is_had_for_a_chance(tenant: Tenant) -> None:
    """For one in a hundred unless another is given. Where not even equal vectors have it, the caller is told."""
    assert [tenant.groups(max_distance=None), tenant.groups(max_distance=None, max_chance=0.02)] == [
        [[(5, 0), (4, 1)]],
        [[(3, 0), (2, 2), (1, 4), (0, 6)], [(5, 0), (4, 1)]],
    ]
    tenant.known = False
    with pytest.raises(InvalidMessage, match="even equal vectors"):
        tenant.groups(max_distance=None, max_chance=0.0)


def test_of_few_pictures_equal_ones_are_grouped(tenant: Tenant) -> None:
    """Where nothing is known of chances and nothing was asked for."""
    tenant.known = False
    tenant.add(7, 0xAAAA << 40, indexed_at=1)
    assert tenant.groups(max_distance=None) == [[(7, 0), (6, 0)]]


def test_a_page_of_another_job_is_refused(tenant: Tenant) -> None:
    """The groups are others by now."""
    with pytest.raises(InvalidMessage, match="begun anew"):
        tenant.call({"max_distance": 2, "page": f"{'0' * 32}:4"})
    tenant.add_pairs()
    pages = read_groups(tenant.call, {"max_distance": 2})
    next(pages)
    tenant.call({"max_distance": 2, "restart": True})
    with pytest.raises(InvalidMessage, match="begun anew"):
        list(pages)


def test_two_callers_do_no_harm(tenant: Tenant) -> None:
    """One is told to come back; one that lost its turn saves nothing."""
    tenant.state.busy = True
    with pytest.raises(Busy):
        tenant.groups()
    tenant.state.busy = False
    tenant.call({"max_distance": 2})
    scan: Callable[..., Any] = tenant.index.scan

    def slow(*arguments: Any) -> Any:
        tenant.index.scan = scan  # type: ignore[method-assign] # a fault that cannot be made otherwise
        tenant.call({"max_distance": 2})
        return scan(*arguments)

    tenant.index.scan = slow  # type: ignore[method-assign,assignment] # as above
    with pytest.raises(Busy):
        tenant.call({"max_distance": 2})
    assert len(tenant.groups()) == 2


def test_a_tenant_of_nothing_has_no_groups() -> None:
    """And its job ends."""
    assert Tenant().groups() == []
