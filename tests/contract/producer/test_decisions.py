"""Decisions in a real Redis, by a client without a worker."""

import pytest
import redis

from contract import InvalidMessage, ServiceUnavailable
from producer import Client
from producer.decisions import Decisions


def test_decisions_are_kept(client: Client, server: redis.Redis) -> None:
    """For ever, each pair once, in either order; of three pictures all pairs."""
    recorded = client.decide(company_id=7, not_duplicates=[(5, -3), (-3, 5), (1, 2, 3)])
    assert recorded == [(-3, 5), (1, 2), (1, 3), (2, 3)]
    client.decide(company_id=7, not_duplicates=[(2, 1)])
    assert client.decisions(7) == recorded
    assert client.decisions(8) == []
    assert server.ttl("{lookalike}:distinct:7") == -1


def test_decisions_are_taken_back(client: Client) -> None:
    """Those that are named, and no other tenant's."""
    for company_id in (7, 8):
        client.decide(company_id=company_id, not_duplicates=[(1, 2, 3)])
    assert client.forget_decisions(company_id=7, pairs=[(2, 1)]) == [(1, 2)]
    assert client.decisions(7) == [(1, 3), (2, 3)]
    assert len(client.decisions(8)) == 3


def test_many_decisions_are_kept(client: Client) -> None:
    """More than fit into one command."""
    assert len(client.decide(company_id=7, not_duplicates=[range(80)])) == 3160
    assert len(client.decisions(7)) == 3160


@pytest.mark.parametrize("meta_ids", [[], [1], [1, 1], [1, 2**63], [1, True], [1, "2"], [1, 2.0]])
def test_a_decision_that_is_none_is_refused(client: Client, meta_ids: list[int]) -> None:
    """Before any is recorded."""
    with pytest.raises(InvalidMessage):
        client.decide(company_id=7, not_duplicates=[(1, 2), meta_ids])
    with pytest.raises(InvalidMessage):
        client.decide(company_id=2**63, not_duplicates=[(1, 2)])
    assert client.decisions(7) == []


def test_a_redis_that_is_away_is_told(free_port: int) -> None:
    """With the client's own error."""
    away = Decisions(redis.Redis(port=free_port, decode_responses=True))
    with pytest.raises(ServiceUnavailable):
        away.of(7)
    with pytest.raises(ServiceUnavailable):
        away.record(7, [(1, 2)])
