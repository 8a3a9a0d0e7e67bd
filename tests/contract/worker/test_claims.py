"""What the services expect of claims holds for Redis and for the in-memory double alike."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from producer.ledger import Ledger
from worker.adapters.claims import RedisClaims
from worker.core.errors import Transient
from worker.core.fingerprints import Hash
from worker.ports import Claimed, Claims, Row
from worker.testing import MemoryClaims

ROWS = [
    Row(
        id=2**63 - 1 - n,
        meta_id=-n,
        company_id=n,
        hashes=(Hash("ahash", bytes(range(8)), 100), Hash("pdq.upright", bytes(range(32)), n)),
        object_key=f"图 {n}.jpg",
        content_crc=2**64 - 1,
        indexed_at=n,
        width=2**31 - 1,
        height=1,
    )
    for n in range(3)
]
IDS = [row.id for row in ROWS]
ONE = ROWS[0]


@pytest.fixture(params=["memory", "redis"])
def claims(request: pytest.FixtureRequest) -> Claims:
    """Nothing is claimed."""
    if request.param == "memory":
        return MemoryClaims()
    return redis_claims(request.getfixturevalue("ledger"))


def redis_claims(ledger: Ledger, *, collection: str = "images_ahash", lock_seconds: float = 120) -> RedisClaims:
    """The claims on a collection."""
    return RedisClaims(ledger.connection, collection=collection, lock_seconds=lock_seconds)


def test_confirmed_rows_are_remembered(claims: Claims) -> None:
    """Every field survives, what is not known is left out, and nothing is lost."""
    assert claims.claim("a", [*IDS, 5]) == Claimed()
    assert claims.confirm("a", ROWS) == set()
    assert claims.claim("b", [*IDS, 5]) == Claimed({row.id: row for row in ROWS})


def test_nothing_is_no_trouble(claims: Claims) -> None:
    """No ids, no rows: nothing is claimed and nothing lost."""
    assert claims.claim("a", []) == Claimed()
    assert claims.confirm("a", []) == set()


def test_a_later_attempt_takes_the_claim(claims: Claims) -> None:
    """The earlier one loses what the later one claimed, and only that."""
    claims.claim("a", IDS)
    claims.claim("b", IDS[:2])
    assert claims.confirm("a", ROWS) == set(IDS[:2])
    assert claims.confirm("b", ROWS[:2]) == set()


def test_a_claim_is_confirmed_once(claims: Claims) -> None:
    """A confirmation ends the claim, and without one there is nothing to confirm."""
    claims.claim("a", [ONE.id])
    assert claims.confirm("a", [ONE]) == set()
    assert claims.confirm("a", [ONE]) == {ONE.id}
    assert claims.confirm("b", [ROWS[1]]) == {ROWS[1].id}


def test_a_lost_claim_leaves_a_doubt(claims: Claims) -> None:
    """Neither is a row remembered from before, nor that of the attempt which may have been written over."""
    claims.claim("a", [ONE.id])
    claims.claim("b", [ONE.id])
    assert claims.confirm("a", [ONE]) == {ONE.id}
    assert claims.confirm("b", [ONE]) == set()
    assert claims.claim("c", [ONE.id]) == Claimed(doubtful=frozenset([ONE.id]))


def test_what_was_remembered_before_a_lost_claim_is_forgotten(claims: Claims) -> None:
    """Whoever confirmed first may have been written over by whoever lost."""
    claims.claim("a", [ONE.id])
    claims.claim("b", [ONE.id])
    claims.confirm("b", [ONE])
    claims.confirm("a", [ONE])
    assert claims.claim("c", [ONE.id]) == Claimed(doubtful=frozenset([ONE.id]))


def test_a_failed_write_leaves_a_doubt_and_loses_nothing(claims: Claims) -> None:
    """It may have been carried out; the event is tried again anyway."""
    claims.claim("a", IDS)
    assert claims.confirm("a", ROWS[1:], [ONE.id]) == set()
    again = claims.claim("b", IDS)
    assert again == Claimed({row.id: row for row in ROWS[1:]}, doubtful=frozenset([ONE.id]))


def test_a_confirmed_row_takes_the_place_of_the_one_remembered(claims: Claims) -> None:
    """The last confirmation counts."""
    later = replace(ONE, hashes=(Hash("dhash", b"\xff" * 8, 1),), object_key="b.jpg", indexed_at=9)
    for token, row in (("a", ONE), ("b", later)):
        claims.claim(token, [ONE.id])
        claims.confirm(token, [row])
    assert claims.claim("c", [ONE.id]).rows == {ONE.id: later}


def test_a_locked_picture_is_not_claimed(claims: Claims) -> None:
    """Those beside it are, and after the delete all are free, with nothing remembered of what was deleted."""
    claims.claim("a", IDS)
    claims.confirm("a", ROWS)
    with claims.lock([ONE.id]) as until:
        assert until > time.monotonic()
        assert claims.claim("b", IDS) == Claimed({row.id: row for row in ROWS[1:]}, locked=frozenset([ONE.id]))
        assert claims.confirm("b", ROWS) == {ONE.id}
    assert claims.claim("c", [ONE.id]).locked == set()


def test_a_lock_takes_the_claims(claims: Claims) -> None:
    """An attempt that was under way has lost, during the delete and after it."""
    for end_inside in (True, False):
        claims.claim("a", [ONE.id])
        with claims.lock([ONE.id]):
            if end_inside:
                assert claims.confirm("a", [ONE]) == {ONE.id}
        if not end_inside:
            assert claims.confirm("a", [ONE]) == {ONE.id}


def test_of_two_deletes_the_second_comes_again(claims: Claims) -> None:
    """It locks none of its pictures, and does not end the lock of the first."""
    with claims.lock(IDS[:2]):
        with pytest.raises(Transient, match="another delete"), claims.lock(IDS[1:]):
            pytest.fail("locked twice")
        assert claims.claim("a", IDS).locked == set(IDS[:2])
    with claims.lock(IDS):
        pass


def test_a_delete_that_fails_unlocks(claims: Claims) -> None:
    """Its error comes through."""

    def fail() -> None:
        raise KeyError

    with pytest.raises(KeyError), claims.lock([ONE.id]):
        fail()
    assert claims.claim("a", [ONE.id]).locked == set()


def test_collections_are_apart(ledger: Ledger) -> None:
    """Another collection's pictures are neither claimed nor remembered."""
    images, others = redis_claims(ledger), redis_claims(ledger, collection="images_phash")
    images.claim("a", IDS)
    others.claim("b", IDS)
    assert images.confirm("a", ROWS) == set()
    assert others.claim("c", IDS) == Claimed()


def test_a_lock_that_ran_out_is_not_ended_twice(ledger: Ledger) -> None:
    """A delete that outlived its lock leaves alone whoever has the picture by then."""
    late = redis_claims(ledger, lock_seconds=0.05)
    with late.lock([ONE.id]):
        gone(ledger, f"*claim*{ONE.id}")
        with redis_claims(ledger).lock([ONE.id]):
            pass
        late.claim("a", [ONE.id])
    assert late.confirm("a", [ONE]) == set()


def test_memory_is_bounded(ledger: Ledger) -> None:
    """Every claim, row, doubt and lock expires."""
    claims = redis_claims(ledger)
    claims.claim("a", IDS)
    with claims.lock([5]):
        assert {expiry(ledger, f"*claim*{id_}") for id_ in IDS} <= set(range(590, 601))
        assert expiry(ledger, "*claim*:5") in range(110, 121)
    claims.confirm("a", ROWS[1:], [ONE.id])
    assert expiry(ledger, f"*row*{IDS[1]}") in range(50, 61)
    assert expiry(ledger, f"*row*{ONE.id}") in range(590, 601)
    assert all(ledger.connection.ttl(key) > 0 for key in ledger.connection.scan_iter("*"))


def test_a_row_is_forgotten_a_minute_after_it_was_read(ledger: Ledger) -> None:
    """An unchanged picture that is confirmed from memory stays there no longer for that."""
    claims = redis_claims(ledger)
    claims.claim("a", [ONE.id])
    claims.confirm("a", [ONE])
    ledger.connection.expire(next(ledger.connection.scan_iter("*row*")), 10)
    claims.claim("b", [ONE.id])
    claims.confirm("b", [ONE])
    assert expiry(ledger, "*row*") <= 10


@pytest.mark.parametrize(
    "call",
    [
        lambda claims: claims.claim("a", [1]),
        lambda claims: claims.confirm("a", [ONE]),
        lambda claims: claims.lock([1]).__enter__(),
    ],
    ids=["claim", "confirm", "lock"],
)
def test_a_redis_that_is_away_is_transient(free_port: int, call: Callable[[Claims], object]) -> None:
    """Every call says so, and its event comes again."""
    with Ledger.from_url(f"redis://127.0.0.1:{free_port}/0").connection as connection:
        claims = RedisClaims(connection, collection="images_ahash", lock_seconds=120)
        with pytest.raises(Transient, match="the ledger's Redis"):
            call(claims)


def expiry(ledger: Ledger, pattern: str) -> int:
    """Seconds until the one key of a pattern expires."""
    (key,) = ledger.connection.scan_iter(pattern)
    seconds: int = ledger.connection.ttl(key)
    return seconds


def gone(ledger: Ledger, pattern: str) -> None:
    """Wait until no key is left of a pattern."""
    deadline = time.monotonic() + 30
    while list(ledger.connection.scan_iter(pattern)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
