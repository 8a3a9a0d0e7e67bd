"""One collection for each profile, read and written as one."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

import pytest
from pymilvus import MilvusClient

from contract import PROFILES, Profile
from worker.adapters.milvus import MilvusConnection, MilvusIndex, ProfiledIndex
from worker.core.errors import CollectionMissing, Misconfigured, RowsRejected
from worker.core.fingerprints import Hash
from worker.core.provenance import Provenance, made_here
from worker.ports import Row, Scope
from worker.settings import WorkerSettings
from worker.testing import make_row

AHASH = PROFILES["ahash"]
PDQ = PROFILES["pdq.upright"]


def both(meta_id: int, *, at: int = 6, ahash: bytes = bytes(8), pdq: bytes = bytes(32)) -> Row:
    """A row with two hashes."""
    return replace(make_row(meta_id, indexed_at=at), hashes=(Hash("ahash", ahash, 80), Hash("pdq.upright", pdq, 70)))


@pytest.fixture
def connection(settings: WorkerSettings) -> Iterator[MilvusConnection]:
    """A connection that is not open yet."""
    with closing(MilvusConnection(settings)) as made:
        yield made


@pytest.fixture
def parts(connection: MilvusConnection, settings: WorkerSettings) -> list[MilvusIndex]:
    """The collections."""
    return [MilvusIndex(connection, settings, profile) for profile in (AHASH, PDQ)]


@pytest.fixture
def index(parts: list[MilvusIndex]) -> ProfiledIndex:
    """Both as one."""
    return ProfiledIndex(parts)


def test_a_row_has_a_hash_in_each_collection(index: ProfiledIndex, parts: list[MilvusIndex]) -> None:
    """Each collection holds its own vector and quality beside the same fields; together they are the row."""
    row = both(1, ahash=b"\x01" * 8, pdq=b"\x02" * 32)
    index.upsert([row])
    assert index.lookup({row.id: 1}, fresh=True) == {row.id: row}
    for part, hashed in zip(parts, row.hashes, strict=True):
        assert part.lookup({row.id: 1}, fresh=True) == {row.id: replace(row, hashes=(hashed,))}
    assert [part.collection.partition("_")[2] for part in parts] == ["ahash", "pdq_upright"]


def test_a_row_lacks_the_hash_of_a_profile_that_is_new(index: ProfiledIndex, parts: list[MilvusIndex]) -> None:
    """So its picture is hashed again. It makes no difference which of the profiles is new."""
    old, new = both(1), both(2)
    parts[0].upsert([old])
    parts[1].upsert([new])
    found = index.lookup({old.id: 1, new.id: 1}, fresh=True)
    assert found[old.id].profiles == ("ahash",)
    assert found[new.id].profiles == ("pdq.upright",)


def test_a_row_lacks_the_hash_of_an_earlier_write(index: ProfiledIndex, parts: list[MilvusIndex]) -> None:
    """A worker that died between the collections leaves one behind: what was written last counts."""
    before, after = both(1, at=1), both(1, at=2)
    index.upsert([before])
    parts[0].upsert([after])
    found = index.lookup({before.id: 1}, fresh=True)[before.id]
    assert (found.indexed_at, found.profiles) == (2, ("ahash",))


def test_a_delete_empties_all_collections(index: ProfiledIndex, parts: list[MilvusIndex]) -> None:
    """Those that do not exist are no hindrance."""
    index.delete({1: 1})
    index.upsert([both(1), both(2)])
    index.delete({both(1).id: 1})
    assert [list(part.lookup({both(1).id: 1, both(2).id: 1}, fresh=True)) for part in parts] == [[both(2).id]] * 2


def test_a_row_without_a_hash_is_refused(index: ProfiledIndex) -> None:
    """Before anything of it is written elsewhere in its group."""
    with pytest.raises(RowsRejected):
        index.upsert([make_row(1)])


def test_a_reader_makes_no_collection(parts: list[MilvusIndex], milvus: MilvusClient) -> None:
    """A system that is new finds nothing, and stays as it was."""
    ahash, _ = parts
    (hits,) = ahash.search([bytes(8)], Scope(1), 5)
    assert (hits, ahash.lookup({1: 1}), ahash.count(1), ahash.scan(1, -1, 5)) == ([], {}, 0, [])
    assert not milvus.has_collection(ahash.collection)


def test_a_profile_that_was_never_filled_is_not_searched(parts: list[MilvusIndex]) -> None:
    """Where others are, an empty answer would be taken for one. The error says what fills it."""
    ahash, pdq = parts
    ahash.upsert([both(1)])
    with pytest.raises(CollectionMissing, match=r"reindex --hash pdq\.upright"):
        pdq.search([bytes(32)], Scope(1), 5)


def _other_canaries(made: Provenance) -> Provenance:
    return replace(made, canaries=dict.fromkeys(made.canaries, "0"))


def _other_steps(made: Provenance) -> Provenance:
    return replace(made, preprocessing=0, versions={"pillow": "1.0"})


@pytest.mark.parametrize(("profile", "change"), [(AHASH, _other_canaries), (PDQ, _other_steps)])
def test_a_worker_that_hashes_otherwise_is_refused(
    connection: MilvusConnection, settings: WorkerSettings, profile: Profile, change: Callable[[Provenance], Provenance]
) -> None:
    """It neither writes nor searches, and is told what changed; the rows stay."""
    then = change(made_here(profile, 4))
    before = MilvusIndex(connection, settings, profile, lambda: then)
    before.upsert([both(1)])
    now = MilvusIndex(connection, settings, profile)
    for use in (
        lambda: now.upsert([both(1)]),
        lambda: now.search([bytes(profile.bytes)], Scope(1), 1),
        lambda: now.lookup({1: 1}),
    ):
        with pytest.raises(Misconfigured, match="hashes otherwise"):
            use()
    assert before.lookup({both(1).id: 1}, fresh=True).keys() == {both(1).id}
