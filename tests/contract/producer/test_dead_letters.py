"""Dead letters on a real Valkey: found, replayed, purged; a replayed event is a letter or in the ledger, and once."""

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, cast

import pytest
import redis

from contract import INGEST_QUEUE, DeadLetter, InvalidMessage, Reason, ServiceUnavailable
from producer import Client, ClientSettings
from producer.dead_letters import ReplayInterrupted, ReplayResult
from producer.ledger import Batch, Ledger
from producer.selection import Selection, StoredLetter

ALL = Selection()
BIG = 2**63 - 1  # a double would round it


def event(meta_id: int, company_id: int = 7) -> dict[str, Any]:
    """Make an event."""
    return {"object_key": f"фото/{meta_id}.jpg", "meta_id": meta_id, "company_id": company_id}


def letter(sent: Any, reason: Reason = Reason.NOT_FOUND, hour: int = 0) -> DeadLetter:
    """Make a dead letter, given up at that hour of New Year's Day."""
    return DeadLetter(sent, reason, "a\nfailure", 3, "2026-01-01T00:00:00Z", f"2026-01-01T{hour:02}:00:00.000+00:00")


def bury(ledger: Ledger, *letters: DeadLetter) -> list[str]:
    """Settle a batch whose events all died, and return the ids of all letters."""
    batch_id = f"died-{time.monotonic_ns()}"
    ledger.record(Batch(batch_id, [one.event for one in letters]), 1000.0)
    ledger.settle(batch_id, {}, 1001.0, dead=letters)
    return [stored.id for stored in ledger.dead.read(ALL)]


def ids_of(found: Iterator[StoredLetter]) -> list[Any]:
    """Name letters by their event's meta_id."""
    return [stored.letter.event["meta_id"] for stored in found]


def messages(url: str) -> list[list[Any]]:
    """Read the events of every message on the ingest queue, the oldest first."""
    with redis.Redis.from_url(url) as server:
        raw = [json.loads(one) for one in reversed(server.lrange("ingest", 0, -1))]
    return [json.loads(base64.b64decode(one["body"]))[1]["events"] for one in raw]


@pytest.fixture
def stranded(own_valkey: Any, url: str) -> Iterator[Client]:
    """A client whose ledger works, and whose broker is down."""
    broker = own_valkey.connection_url
    own_valkey.stop()
    with Client(ClientSettings(broker_url=broker, result_backend_url=broker, ledger_url=url)) as client:
        yield client


def test_a_letter_has_the_id_of_its_entry(client: Client, ledger: Ledger, server: redis.Redis) -> None:
    """With it, and the fields of the contract, it comes back; also one of an event that fits no contract."""
    odd = letter(["no", {"event": None}], Reason.INVALID)
    bury(ledger, letter(event(1)), odd)
    entries: list[str] = [entry_id for entry_id, _ in cast("list[Any]", server.xrange("{lookalike}:dead"))]
    assert list(client.dead.read()) == [StoredLetter(entries[0], letter(event(1))), StoredLetter(entries[1], odd)]
    assert list(client.dead_letters()) == [letter(event(1)), odd]
    assert next(client.dead.read()).as_dict() == {"id": entries[0], **letter(event(1)).as_dict()}


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (ALL, [1, 2, 3, 4]),
        (Selection(reasons=frozenset({Reason.CRASH})), [3]),
        (Selection(reasons=frozenset({Reason.CRASH, Reason.TOO_LARGE})), [2, 3]),
        (Selection(company_id=8), [2, 4]),
        (Selection(company_id=9), []),
        (Selection(since=datetime(2026, 1, 1, 2, tzinfo=UTC)), [2, 3, 4]),
        (Selection(until=datetime(2026, 1, 1, 2, tzinfo=UTC)), [1, 2]),
        (Selection(since=datetime(2026, 1, 1, 2, tzinfo=UTC), until=datetime(2026, 1, 1, 3, tzinfo=UTC)), [2, 3]),
        (Selection(company_id=8, reasons=frozenset({Reason.NOT_FOUND})), [4]),
    ],
)
def test_filters(client: Client, ledger: Ledger, selection: Selection, expected: list[int]) -> None:
    """All that are given hold, bounds of time included; the count is that of what is read."""
    bury(
        ledger,
        letter(event(1), hour=1),
        letter(event(2, 8), Reason.TOO_LARGE, hour=2),
        letter(event(3), Reason.CRASH, hour=3),
        letter(event(4, 8), hour=4),
    )
    assert ids_of(client.dead.read(selection)) == expected
    assert client.dead.count(selection) == len(expected)


def test_filters_meet_letters_of_any_shape(client: Client, ledger: Ledger) -> None:
    """An event without a tenant is of none; a time that cannot be read is in no span; `true` is not the tenant 1."""
    bury(ledger, *(letter(odd) for odd in (None, [1], "company_id", {"company_id": True}, {"company_id": "1"})))
    bury(ledger, DeadLetter(event(1, 1), Reason.CRASH, "", 1, "first", "last"))
    assert ids_of(client.dead.read(Selection(company_id=1))) == [1]
    assert client.dead.count(Selection(since=datetime(2000, 1, 1, tzinfo=UTC))) == 5


def test_ids(client: Client, ledger: Ledger) -> None:
    """Letters come in the order of the ids, each once; ids of no letter are passed over."""
    ids = bury(ledger, *(letter(event(number)) for number in range(3)))
    selection = Selection((ids[2], "5-0", ids[0], ids[2]))
    assert ids_of(client.dead.read(selection)) == [2, 0]
    assert client.dead.count(selection) == 2


@pytest.mark.parametrize("wrong", ["", "1", "1-", "-", "+", "a-0", "1-0-0", "1-0\n", f"{2**64}-0", "\u0661-0"])
def test_what_is_no_id(wrong: str) -> None:
    """Is refused before Redis sees it."""
    with pytest.raises(InvalidMessage, match="is not the id of a dead letter"):
        Selection((wrong,))


def test_a_time_needs_its_zone() -> None:
    """Otherwise it could not be compared."""
    with pytest.raises(InvalidMessage, match="zone"):
        Selection(since=datetime(2026, 1, 1))  # noqa: DTZ001 - the point


def test_many_letters_are_read_in_pages(client: Client, ledger: Ledger) -> None:
    """All, in order, each once; a filter that holds for few looks through all pages."""
    for start in range(0, 1200, 100):
        bury(ledger, *(letter(event(number, number % 600)) for number in range(start, start + 100)))
    assert ids_of(client.dead.read()) == list(range(1200))
    assert ids_of(client.dead.read(Selection(company_id=599))) == [599, 1199]
    assert client.dead.count() == 1200


def test_replayed_events_begin_anew(client: Client, ledger: Ledger, server: redis.Redis, url: str) -> None:
    """They stand on the queue and in the ledger as new; the letters are gone, and those not selected stay."""
    ids = bury(ledger, letter(event(BIG)), letter(event(2)), letter(event(-BIG, -BIG)))
    before = time.time()
    assert client.dead.replay(Selection((ids[0], ids[2]))) == ReplayResult(2, 0)
    assert messages(url) == [[event(BIG), event(-BIG, -BIG)]]
    assert ids_of(client.dead.read()) == [2]
    (key,) = cast("list[str]", server.keys("*batch:*"))
    recorded = server.hgetall(key)
    assert (json.loads(recorded["events"]), recorded["size"], recorded["attempts"]) == (
        [event(BIG), event(-BIG, -BIG)],
        "2",
        "0",
    )
    assert before <= float(recorded["first_seen"]) <= time.time()
    assert ledger.summary(time.time()).outstanding == 2
    assert ledger.take_overdue(time.time() + 60, limit=9, queue=INGEST_QUEUE) == []
    assert [batch.id for batch in ledger.take_overdue(time.time() + 130, limit=9, queue=INGEST_QUEUE)] == [
        key.split(":")[-1]
    ]


def test_many_are_replayed_in_messages_of_a_hundred(client: Client, ledger: Ledger, url: str) -> None:
    """Each event once, in order, however many pages of letters there are; the progress is told."""
    for start in range(0, 1050, 105):
        bury(ledger, *(letter(event(number)) for number in range(start, start + 105)))
    told: list[int] = []
    assert client.dead.replay(ALL, progress=told.append) == ReplayResult(1050, 0)
    sent = messages(url)
    assert [len(events) for events in sent] == [100] * 10 + [50]
    assert [one["meta_id"] for events in sent for one in events] == list(range(1050))
    assert told == [*range(100, 1001, 100), 1050]
    assert ledger.summary(time.time()).dead == 0


def test_events_that_fit_no_contract_stay(client: Client, ledger: Ledger, url: str) -> None:
    """They are told of with the reason, and left; their siblings are replayed."""
    bury(ledger, letter({"meta_id": "1"}, Reason.INVALID), letter(event(2)), letter([1], Reason.INVALID))
    told: list[str] = []
    result = client.dead.replay(ALL, reject=lambda stored, why: told.append(f"{stored.letter.event}: {why}"))
    assert result == ReplayResult(1, 2)
    assert messages(url) == [[event(2)]]
    assert [stored.letter.reason for stored in client.dead.read()] == [Reason.INVALID] * 2
    assert told[0].startswith("{'meta_id': '1'}: object_key: ")
    assert len(told) == 2


def test_what_dies_again_meanwhile_is_not_replayed_twice(client: Client, ledger: Ledger) -> None:
    """A replay ends, though every event that it replays is a letter again at once."""
    bury(ledger, *(letter(event(number)) for number in range(200)))

    def die_again(_: int) -> None:
        bury(ledger, letter(event(1000)))

    assert client.dead.replay(ALL, progress=die_again) == ReplayResult(200, 0)
    assert ids_of(client.dead.read()) == [1000, 1000]


def test_two_replays_at_once(settings: ClientSettings, ledger: Ledger, url: str) -> None:
    """No event is lost, none doubled, and each is counted by one of them."""
    for start in range(0, 1000, 100):
        bury(ledger, *(letter(event(number)) for number in range(start, start + 100)))

    def replay(_: int) -> int:
        with Client(settings) as client:
            return client.dead.replay(ALL).replayed

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(replay, range(4))) == 1000
    assert sorted(one["meta_id"] for events in messages(url) for one in events) == list(range(1000))
    assert (ledger.summary(time.time()).outstanding, ledger.summary(time.time()).dead) == (1000, 0)


def test_a_replay_of_letters_that_are_partly_gone(ledger: Ledger) -> None:
    """The script itself decides: what another took after the letters were read is in no second batch."""
    ids = bury(ledger, letter(event(1)), letter(event(2)))
    read = {stored.id: stored.letter.event for stored in ledger.dead.read(ALL)}
    assert ledger.reopen("first", {ids[0]: event(1)}, 1000.0) == Batch("first", [event(1)])
    assert ledger.reopen("second", read, 1000.0) == Batch("second", [event(2)])
    assert ledger.reopen("third", read, 1000.0) is None
    assert ledger.summary(1010.0).outstanding == 2


def test_reopening_again_after_a_lost_reply(ledger: Ledger) -> None:
    """The same batch is told again, and nothing is counted twice."""
    ids = bury(ledger, letter(event(1)))
    for _ in range(2):
        assert ledger.reopen("one", {ids[0]: event(1)}, 1000.0) == Batch("one", [event(1)])
    assert ledger.summary(1010.0).outstanding == 1


def test_a_broker_that_is_down(stranded: Client, ledger: Ledger) -> None:
    """The batch that could not be published is in the ledger, and its letters are gone; the rest are letters."""
    bury(ledger, *(letter(event(number)) for number in range(150)))
    with pytest.raises(ReplayInterrupted, match="The last 100 of them stand in the ledger, and the sweeper") as caught:
        stranded.dead.replay(ALL)
    assert isinstance(caught.value, ServiceUnavailable)
    assert caught.value.accepted == 100
    assert ids_of(ledger.dead.read(ALL)) == list(range(100, 150))
    (batch,) = ledger.take_overdue(time.time() + 130, limit=9, queue=INGEST_QUEUE)
    assert [one["meta_id"] for one in batch.events] == list(range(100))


def test_a_ledger_that_takes_no_writes(own_valkey: Any, url: str) -> None:
    """Nothing happens: the letter stays, and no batch is opened."""
    own = own_valkey.connection_url
    own_ledger = Ledger.from_url(own)
    bury(own_ledger, letter(event(1)))
    with (
        redis.Redis.from_url(own) as server,
        Client(ClientSettings(broker_url=url, result_backend_url=url, ledger_url=own)) as client,
    ):
        server.replicaof("127.0.0.1", 1)
        with pytest.raises(ReplayInterrupted, match="replayed until then: 0 events") as caught:
            client.dead.replay(ALL)
        assert caught.value.accepted == 0
        with pytest.raises(ServiceUnavailable, match="the ledger"):
            client.dead.purge(ALL)
        server.replicaof("NO", "ONE")
        assert (ids_of(client.dead.read()), own_ledger.summary(0.0).outstanding) == ([1], 0)
    own_ledger.close()
    assert messages(url) == []


def test_purge(client: Client, ledger: Ledger, url: str) -> None:
    """Removes what is selected, over pages, counts it, and enqueues nothing; again it finds nothing."""
    for start in range(0, 1200, 100):
        bury(ledger, *(letter(event(number, number % 2)) for number in range(start, start + 100)))
    assert client.dead.purge(Selection(company_id=1)) == 600
    assert client.dead.purge(Selection(company_id=1)) == 0
    assert ids_of(client.dead.read()) == list(range(0, 1200, 2))
    assert client.dead.purge(ALL) == 600
    assert ledger.summary(time.time()).dead == 0
    assert messages(url) == []


def test_purge_stops_at_what_was_there(client: Client, ledger: Ledger) -> None:
    """A selection that was bounded holds no letter that came later, by whatever way it is asked for."""
    nothing = client.dead.up_to_now(ALL)
    bury(ledger, letter(event(1)))
    bounded = client.dead.up_to_now(ALL)
    bury(ledger, letter(event(2)))
    assert (client.dead.count(nothing), client.dead.purge(nothing)) == (0, 0)
    assert client.dead.count(bounded) == 1
    assert client.dead.purge(bounded) == 1
    assert ids_of(client.dead.read()) == [2]


def test_a_redis_without_memory(own_valkey: Any) -> None:
    """A replay needs more, and is refused whole; a purge frees some, and is allowed."""
    own = own_valkey.connection_url
    ledger = Ledger.from_url(own)
    with (
        redis.Redis.from_url(own) as server,
        Client(ClientSettings(broker_url=own, result_backend_url=own, ledger_url=own)) as client,
    ):
        bury(ledger, letter(event(1)), letter(event(2)))
        server.config_set("maxmemory", 1)
        with pytest.raises(ReplayInterrupted, match="replayed until then: 0 events"):
            client.dead.replay(ALL)
        assert (ledger.summary(0.0).outstanding, ledger.summary(0.0).dead) == (0, 2)
        assert client.dead.purge(ALL) == 2
    ledger.close()
