"""The checkpoints of jobs in a real Redis."""

import pytest
import redis

from producer.ledger import Ledger
from worker.adapters.jobs import RedisJobs
from worker.core.errors import Busy, Transient


@pytest.fixture
def jobs(ledger: Ledger) -> RedisJobs:
    """No checkpoint."""
    return RedisJobs(ledger.connection)


def test_a_checkpoint_is_read_back(jobs: RedisJobs) -> None:
    """The last one that was saved, by whichever worker."""
    assert jobs.load("a") is None
    jobs.save("a", {"after": 2**63 - 1})
    jobs.save("a", {"after": 5, "näme": [1, None]})
    assert jobs.load("a") == {"after": 5, "näme": [1, None]}
    assert jobs.load("b") is None
    jobs.drop("a")
    assert jobs.load("a") is None


def test_a_checkpoint_is_kept_for_a_day(jobs: RedisJobs, ledger: Ledger) -> None:
    """Nothing of a job that nobody goes on with stays for ever."""
    jobs.save("a", 1)
    (key,) = ledger.connection.keys("*")
    assert 23 * 3600 < int(ledger.connection.ttl(key)) <= 24 * 3600


def test_one_at_a_time_has_a_job(jobs: RedisJobs) -> None:
    """Another job is no hindrance, and a turn ends with its step, however that ends."""
    with jobs.turn("a"):
        with pytest.raises(Busy), jobs.turn("a"):
            pass
        with jobs.turn("b"):
            pass
    with pytest.raises(ZeroDivisionError), jobs.turn("a"):
        raise ZeroDivisionError
    with jobs.turn("a"):
        pass


def test_a_turn_that_was_lost_is_left_to_who_has_it(jobs: RedisJobs, ledger: Ledger) -> None:
    """A worker that was frozen for longer than a turn takes nobody else's away."""
    with jobs.turn("a"):
        ledger.connection.flushdb()
        with jobs.turn("a"):
            pass
        other = jobs.turn("a")
        other.__enter__()
    with pytest.raises(Busy), jobs.turn("a"):
        pass


def test_a_redis_that_is_away_is_transient(free_port: int) -> None:
    """It may come back."""
    away = RedisJobs(redis.Redis(port=free_port, decode_responses=True))
    with pytest.raises(Transient):
        away.load("a")
    with pytest.raises(Transient), away.turn("a"):
        pass
