"""The ledger on a real Valkey: every event is in an open batch, or settled, and never nowhere."""

import json
from typing import TYPE_CHECKING, Any

import pytest
import redis

from contract import DeadLetter, Reason, ServiceUnavailable
from producer.ledger import Batch, Begun, DeadLettersFull, Ledger, Summary

if TYPE_CHECKING:
    from collections.abc import Callable

RESULT = {"indexed": 2, "unchanged": 0, "dead": 0, "retried": 0}
EVENTS = [
    {"object_key": "a.jpg", "meta_id": 1, "company_id": 7},
    {"object_key": "ф.jpg", "meta_id": 2, "company_id": 7},
]


def letter(meta_id: int = 1) -> DeadLetter:
    """Make a dead letter."""
    event = {"object_key": "a.jpg", "meta_id": meta_id, "company_id": 7}
    return DeadLetter(event, Reason.NOT_FOUND, "no such object: ф", 3, "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z")


def test_an_empty_ledger(ledger: Ledger) -> None:
    """Nothing is outstanding, nothing is old, nothing is dead."""
    assert ledger.summary(1000.0) == Summary(0, 0.0, 0)
    assert list(ledger.dead_letters()) == []


def test_what_is_recorded_is_outstanding(ledger: Ledger) -> None:
    """Events are counted, and the oldest batch tells the age, whatever the order of recording."""
    ledger.record(Batch("newer", EVENTS), 1005.0)
    ledger.record(Batch("older", EVENTS[:1]), 1000.0)
    assert ledger.summary(1010.0) == Summary(3, 10.0, 0)
    assert ledger.summary(990.0).oldest_seconds == 0.0


def test_recording_again_changes_nothing(ledger: Ledger) -> None:
    """A client that repeats a command after a lost reply counts its events once."""
    ledger.record(Batch("one", EVENTS), 1000.0)
    ledger.record(Batch("one", EVENTS), 1005.0)
    assert ledger.summary(1010.0) == Summary(2, 10.0, 0)


def test_forgetting(ledger: Ledger) -> None:
    """A batch that could not be published leaves nothing; forgetting twice, or what never was, is no error."""
    ledger.record(Batch("one", EVENTS), 1000.0)
    ledger.forget("one")
    ledger.forget("one")
    ledger.forget("never")
    assert ledger.summary(1010.0) == Summary(0, 0.0, 0)


def test_each_beginning_counts(ledger: Ledger) -> None:
    """A worker that dies has counted its attempt, and its death is noted; the first sight stays the first."""
    ledger.record(Batch("one", EVENTS), 1000.0)
    assert ledger.begin(Batch("one", EVENTS), 1001.0) == Begun(1, 1000.0, None)
    assert ledger.begin(Batch("one", EVENTS), 1002.0) == Begun(2, 1000.0, None, deaths=1, fate=Reason.CRASH)
    assert ledger.summary(1010.0) == Summary(2, 10.0, 0)


def test_a_batch_that_was_never_recorded_begins(ledger: Ledger) -> None:
    """What came by plain `send_task` is outstanding from its first beginning."""
    assert ledger.begin(Batch("plain", EVENTS), 1001.5) == Begun(1, 1001.5, None)
    assert ledger.summary(1010.0) == Summary(2, 8.5, 0)


def test_earlier_tries_count(ledger: Ledger) -> None:
    """The batch of a retry goes on counting where its events were."""
    ledger.record(Batch("retry", EVENTS, attempts=4), 1000.0)
    assert ledger.begin(Batch("retry", EVENTS), 1001.0).attempts == 5


def test_a_settled_batch_begun_again_tells_its_result(ledger: Ledger) -> None:
    """A second delivery of the message is answered from the ledger and opens nothing."""
    ledger.record(Batch("one", EVENTS), 1000.0)
    ledger.begin(Batch("one", EVENTS), 1001.0)
    ledger.settle("one", RESULT, 1003.0)
    again = ledger.begin(Batch("one", EVENTS), 1002.0)
    assert again.settled == RESULT
    ledger.record(Batch("one", EVENTS), 1003.0)
    assert ledger.summary(1010.0) == Summary(0, 0.0, 0)


def test_what_is_remembered_expires(ledger: Ledger, server: redis.Redis) -> None:
    """Results of settled batches do not pile up, and outlive the visibility timeout."""
    ledger.record(Batch("one", EVENTS), 1000.0)
    ledger.settle("one", RESULT, 1003.0)
    ttls = [server.ttl(key) for key in server.keys("*settled*")]
    assert len(ttls) == 1
    assert 300 < ttls[0] <= 3600


def test_settling_twice_or_what_is_not_open(ledger: Ledger) -> None:
    """Two workers with the same message settle it once: letters and successors of the second are not recorded."""
    ledger.record(Batch("one", EVENTS), 1000.0)
    ledger.settle("one", RESULT, 1003.0, dead=[letter()])
    ledger.settle("one", RESULT, 1003.0, dead=[letter()], successors=[Batch("next", EVENTS)])
    ledger.settle("never", RESULT, 1003.0, dead=[letter()], successors=[Batch("next", EVENTS)])
    assert ledger.summary(1010.0) == Summary(0, 0.0, 1)


def test_successors_carry_on(ledger: Ledger) -> None:
    """The events of a retry stay outstanding, as old as they were, with their tries."""
    ledger.record(Batch("one", EVENTS), 1000.0)
    ledger.begin(Batch("one", EVENTS), 1001.0)
    successors = [Batch("two", EVENTS[:1], attempts=1), Batch("three", EVENTS[1:], attempts=0)]
    ledger.settle("one", RESULT, 1003.0, successors=successors)
    assert ledger.summary(1010.0) == Summary(2, 10.0, 0)
    assert ledger.begin(Batch("two", EVENTS[:1]), 1002.0) == Begun(2, 1000.0, None)
    assert ledger.begin(Batch("three", EVENTS[1:]), 1002.0) == Begun(1, 1000.0, None)


def test_letters_and_successors_together(ledger: Ledger) -> None:
    """One event dies, one is tried again: the arguments of the two kinds are not confused."""
    ledger.record(Batch("one", EVENTS), 1000.0)
    ledger.settle("one", RESULT, 1003.0, dead=[letter(1), letter(2), letter(3)], successors=[Batch("two", EVENTS[1:])])
    assert ledger.summary(1010.0) == Summary(1, 10.0, 3)
    assert [dead.event["meta_id"] for dead in ledger.dead_letters()] == [1, 2, 3]


def test_dead_letters_come_back_as_they_were(ledger: Ledger) -> None:
    """Also of an event that fits no contract."""
    odd = DeadLetter(["no", {"event": None}], Reason.INVALID, "not an object\n", 1, "first", "last")
    ledger.record(Batch("one", EVENTS), 1000.0)
    ledger.settle("one", RESULT, 1003.0, dead=[letter(), odd])
    assert list(ledger.dead_letters()) == [letter(), odd]


def test_dead_letters_are_read_in_pages(ledger: Ledger) -> None:
    """All of them, in order, each once, however many pages they fill."""
    for start in range(0, 1100, 100):
        ledger.record(Batch(f"batch-{start}", EVENTS), 1000.0)
        ledger.settle(f"batch-{start}", RESULT, 1003.0, dead=[letter(number) for number in range(start, start + 100)])
    assert [dead.event["meta_id"] for dead in ledger.dead_letters()] == list(range(1100))


def test_a_full_stream_changes_nothing(url: str) -> None:
    """At the cap neither letters nor successors are recorded, and the batch stays open; without letters it settles."""
    ledger = Ledger.from_url(url, dead_letters_max=3)
    ledger.record(Batch("one", EVENTS), 1000.0)
    ledger.settle("one", RESULT, 1003.0, dead=[letter(), letter()])
    ledger.record(Batch("two", EVENTS), 1000.0)
    with pytest.raises(DeadLettersFull, match="cap of 3"):
        ledger.settle("two", RESULT, 1003.0, dead=[letter(), letter()], successors=[Batch("next", EVENTS)])
    assert ledger.summary(1010.0) == Summary(2, 10.0, 2)
    assert ledger.begin(Batch("two", EVENTS), 1001.0).settled is None
    ledger.settle("two", RESULT, 1003.0, dead=[letter()])
    ledger.record(Batch("three", EVENTS), 1000.0)
    ledger.settle("three", RESULT, 1003.0)
    assert ledger.summary(1010.0) == Summary(0, 0.0, 3)
    ledger.close()


def test_a_full_redis_changes_nothing_and_a_batch_without_news_settles(own_valkey: Any) -> None:
    """Out of memory, whatever needs more is refused whole; to end a batch frees memory, and is allowed."""
    url = own_valkey.connection_url
    ledger = Ledger.from_url(url)
    ledger.record(Batch("one", EVENTS), 1000.0)
    ledger.record(Batch("two", EVENTS), 1000.0)
    ledger.record(Batch("three", EVENTS), 1000.0)
    with redis.Redis.from_url(url) as server:
        server.config_set("maxmemory", 1)
        refused: list[Callable[[], object]] = [
            lambda: ledger.record(Batch("four", EVENTS), 1000.0),
            lambda: ledger.begin(Batch("one", EVENTS), 1000.0),
            lambda: ledger.settle("one", RESULT, 1003.0, dead=[letter()]),
            lambda: ledger.settle("one", RESULT, 1003.0, successors=[Batch("next", EVENTS)]),
        ]
        for call in refused:
            with pytest.raises(ServiceUnavailable, match="the ledger"):
                call()
            assert ledger.summary(1010.0) == Summary(6, 10.0, 0)
        ledger.settle("one", RESULT, 1003.0)
        ledger.forget("two")
        assert ledger.summary(1010.0) == Summary(2, 10.0, 0)
        server.config_set("maxmemory", 0)
    assert ledger.begin(Batch("one", EVENTS), 1001.0).settled == RESULT
    ledger.close()


def test_scripts_survive_a_flush_of_the_script_cache(ledger: Ledger, server: redis.Redis) -> None:
    """As after a restart or a failover."""
    ledger.record(Batch("one", EVENTS), 1000.0)
    server.script_flush()
    ledger.record(Batch("two", EVENTS), 1000.0)
    assert ledger.summary(1000.0).outstanding == 4


def test_all_keys_share_a_slot(ledger: Ledger, server: redis.Redis) -> None:
    """In a Redis Cluster the scripts may touch them together."""
    ledger.record(Batch("one", EVENTS), 1000.0)
    ledger.settle("one", RESULT, 1003.0, dead=[letter()], successors=[Batch("two", EVENTS)])
    keys = server.keys()
    assert len(keys) == 6
    assert all(str(key).startswith("{lookalike}:") for key in keys)


def test_a_recorded_batch_holds_what_a_sweeper_needs(ledger: Ledger, server: redis.Redis) -> None:
    """Its events, as they were sent."""
    ledger.record(Batch("one", EVENTS), 1000.0)
    assert json.loads(server.hget("{lookalike}:batch:one", "events") or "") == EVENTS


def test_nobody_listens() -> None:
    """Every method says so in our own words."""
    ledger = Ledger.from_url("redis://127.0.0.1:1/0")
    calls: list[Callable[[], object]] = [
        lambda: ledger.record(Batch("one", EVENTS), 1000.0),
        lambda: ledger.begin(Batch("one", EVENTS), 1000.0),
        lambda: ledger.settle("one", RESULT, 1003.0),
        lambda: ledger.forget("one"),
        lambda: ledger.summary(1000.0),
        lambda: list(ledger.dead_letters()),
    ]
    for call in calls:
        with pytest.raises(ServiceUnavailable, match="the ledger: ConnectionError"):
            call()
