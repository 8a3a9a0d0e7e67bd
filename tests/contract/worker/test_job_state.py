"""The state of a long job in a real Redis."""

import pytest
import redis

from producer.ledger import Ledger
from worker.adapters.job_state import RedisJobState
from worker.core.errors import Busy, Transient

CONTENT = bytes(range(256)) * 10_000


@pytest.fixture
def state(ledger: Ledger) -> RedisJobState:
    """No job."""
    return RedisJobState(ledger.connection)


def test_a_job_is_read_back(state: RedisJobState) -> None:
    """Its checkpoint, and its parts byte by byte, though the connection decodes all other values."""
    assert state.load("a") is None
    version = state.save("a", {"after": 2**63 - 1}, {"rows0": CONTENT, "empty": b""}, version=None)
    assert state.load("a") == ({"after": 2**63 - 1}, version)
    assert (state.read("a", "rows0"), state.read("a", "empty"), state.read("a", "rows1")) == (CONTENT, b"", None)
    after = state.save("a", {"after": 5}, {"rows1": b"\xff"}, version=version)
    assert state.load("a") == ({"after": 5}, after)
    assert (state.read("a", "rows0"), state.read("a", "rows1")) == (CONTENT, b"\xff")


def test_a_part_that_shrinks_is_read_back(state: RedisJobState) -> None:
    """What was longer before leaves nothing behind that is read."""
    version = state.save("a", 1, {"compared": CONTENT}, version=None)
    state.save("a", 2, {"compared": b"short"}, version=version)
    assert state.read("a", "compared") == b"short"


def test_no_value_is_larger_than_a_megabyte(state: RedisJobState, ledger: Ledger) -> None:
    """Redis serves others meanwhile. All of it goes after a day."""
    state.save("a", 1, {"rows0": CONTENT}, version=None)
    (key,) = ledger.connection.keys("*")
    lengths = [int(ledger.connection.hstrlen(str(key), str(name))) for name in ledger.connection.hkeys(str(key))]
    assert sum(lengths) > len(CONTENT)
    assert max(lengths) <= 1_000_000
    assert 23 * 3600 < int(ledger.connection.ttl(str(key))) <= 24 * 3600


def test_a_job_is_begun_anew(state: RedisJobState) -> None:
    """Nothing of the old one is left."""
    version = state.save("a", 1, {"rows0": CONTENT}, version=None)
    state.save("a", 2, {"members0": b"x"}, version=version, anew=True)
    assert (state.read("a", "rows0"), state.read("a", "members0")) == (None, b"x")


def test_a_step_that_another_overtook_is_not_saved(state: RedisJobState) -> None:
    """Whoever was slower is told, and so is one whose job has expired."""
    version = state.save("a", 1, {"rows0": b"old"}, version=None)
    state.save("a", 2, {"rows0": b"new"}, version=version)
    for stale in (version, None):
        with pytest.raises(Busy):
            state.save("a", 3, {"rows0": b"stale"}, version=stale, anew=True)
    with pytest.raises(Busy):
        state.save("b", 3, {}, version=1)
    assert state.read("a", "rows0") == b"new"
    assert state.load("b") is None


def test_one_at_a_time_has_a_job(state: RedisJobState) -> None:
    """Another job is no hindrance."""
    with state.turn("a"):
        with pytest.raises(Busy), state.turn("a"):
            pass
        with state.turn("b"):
            pass


def test_a_redis_that_is_away_is_transient(free_port: int) -> None:
    """It may come back."""
    away = RedisJobState(redis.Redis(port=free_port, decode_responses=True))
    for call in (
        lambda: away.load("a"),
        lambda: away.read("a", "b"),
        lambda: away.save("a", 1, {}, version=None),
    ):
        with pytest.raises(Transient):
            call()
