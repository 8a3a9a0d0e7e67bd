"""Searches and deletions make the round trip over a real Valkey and a real Celery worker."""

import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from contract import (
    DELETE,
    SEARCH,
    InvalidMessage,
    LookalikeError,
    QueryNotFound,
    QueryRejected,
    ServiceUnavailable,
)
from producer import Client, ClientSettings, TaskFailed


def asked(result: Any) -> dict[str, Any]:
    """Take out what the stand-in was asked."""
    return dict(result["asked"])


def test_a_search_arrives_as_the_contract_says(working: Client) -> None:
    """The arguments are the contract's, with its defaults."""
    assert asked(working.search(object_key="a.jpg", company_id=7)) == {
        "query": {"object_key": "a.jpg"},
        "company_id": 7,
        "all_companies": False,
        "limit": 10,
        "max_distance": None,
        "max_chance": None,
        "fresh": False,
        "hash": None,
        "collapse": True,
        "members": 10,
        "low_quality": False,
        "verify": False,
        "version": 1,
    }


def test_every_option_arrives(working: Client) -> None:
    """Also those that are not the default."""
    given: dict[str, Any] = {
        "all_companies": True,
        "limit": 1000,
        "max_distance": None,
        "max_chance": 0.5,
        "fresh": True,
        "hash": "pdq.upright",
        "collapse": False,
        "members": 0,
        "low_quality": True,
        "verify": True,
    }
    result = working.search(meta_id=5, **given)
    assert asked(result) == {
        "query": {"meta_id": 5},
        "company_id": None,
        "version": 1,
        **given,
    }


def test_an_image_in_any_form(working: Client, tmp_path: Path) -> None:
    """Bytes, a buffer, an open file and a path make the same query."""
    content = b"\x89PNG\r\n" + bytes(range(256))
    path = tmp_path / "cat.png"
    path.write_bytes(content)
    queries = [
        asked(working.search(image=image, company_id=7))["query"]
        for image in (content, bytearray(content), memoryview(content), io.BytesIO(content), path)
    ]
    assert len(queries) == 5
    assert all(query == queries[0] for query in queries)


def test_a_vector_in_either_form(working: Client) -> None:
    """Bytes and hexadecimal of either case make the same query."""
    vector = bytes.fromhex("ffd8c0e0f0f8fcfe")
    queries = [asked(working.search(vector=given, company_id=7))["query"] for given in (vector, vector.hex().upper())]
    assert queries == [{"vector": "ffd8c0e0f0f8fcfe"}] * 2


def test_search_many(working: Client) -> None:
    """Queries keep their order, and each may be of another kind."""
    result = working.search_many([{"object_key": "a"}, {"vector": b"\xff"}, {"image": b"GIF"}], company_id=7)
    assert result["results"] == [[], [], []]
    assert asked(result)["queries"] == [{"object_key": "a"}, {"vector": "ff"}, {"image": "R0lG"}]


def test_delete_in_chunks(working: Client) -> None:
    """More items than a message carries go in several messages, and the counts add up."""
    assert working.delete({"meta_id": number, "company_id": 7} for number in range(250)) == 250
    assert working.delete([]) == 0


def test_stats(working: Client) -> None:
    """The rows of the collections come from a search worker."""
    assert working.stats() == {"collections": {"images_ahash": 12}}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (InvalidMessage, "query.vector: 8 bytes are needed, not 4"),
        (QueryNotFound, "raise/QueryNotFound: no such object"),
        (QueryRejected, "not an image: фото"),
        (ServiceUnavailable, "Milvus does not answer"),
    ],
)
def test_an_error_of_the_task_is_raised_as_its_class(working: Client, kind: type[LookalikeError], message: str) -> None:
    """Class and message come back through the JSON result backend."""
    with pytest.raises(kind) as caught:
        working.search(object_key=f"raise/{kind.__name__}", company_id=7)
    assert type(caught.value) is kind
    assert str(caught.value) == message


def test_a_fault_of_the_task_is_named(working: Client) -> None:
    """An error that no contract names is ours all the same, and says what it was."""
    with pytest.raises(TaskFailed, match=r"lookalike\.search: KeyError: 'a fault'"):
        working.search(object_key="raise/KeyError", company_id=7)


def test_nothing_stays_behind(working: Client, worked_url: str) -> None:
    """After a search, failed or not, Redis holds no result, and the client waits for none."""
    with redis.Redis.from_url(worked_url) as server:
        before = set(server.keys("celery-task-meta-*"))
        working.search(object_key="a.jpg", company_id=7)
        with pytest.raises(QueryNotFound):
            working.search(object_key="raise/QueryNotFound", company_id=7)
        working.delete([{"meta_id": 1, "company_id": 7}])
        assert set(server.keys("celery-task-meta-*")) <= before


def test_nobody_works(client: Client) -> None:
    """The error says which queue nobody serves, and for how long that was waited for."""
    with pytest.raises(ServiceUnavailable, match=r"no worker of the queue 'search' answered within 0\.2 s"):
        client.search(object_key="a.jpg", company_id=7, timeout=0.2)
    with pytest.raises(ServiceUnavailable, match=r"no worker of the queue 'ingest' answered"):
        client.delete([{"meta_id": 1, "company_id": 7}], timeout=0.2)


def test_a_search_expires_and_a_deletion_does_not(client: Client, server: redis.Redis) -> None:
    """Nobody waits for a stale search; a deletion is done whenever its turn comes."""
    for call in (
        lambda: client.search(object_key="a.jpg", company_id=7, timeout=0.1),
        lambda: client.delete([{"meta_id": 1, "company_id": 7}], timeout=0.1),
    ):
        with pytest.raises(ServiceUnavailable):
            call()
    (search,) = server.lrange("search", 0, -1)
    (delete,) = server.lrange("ingest", 0, -1)
    assert json.loads(search)["headers"]["expires"] is not None
    assert json.loads(delete)["headers"]["expires"] is None


def test_invalid_arguments_send_nothing(client: Client, server: redis.Redis) -> None:
    """What does not fit the contract is refused at once."""
    bad: list[Callable[[], object]] = [
        lambda: client.search(object_key="a.jpg"),
        lambda: client.search(company_id=7),
        lambda: client.search(object_key="a.jpg", meta_id=1, company_id=7),
        lambda: client.search(object_key="a.jpg", company_id=2**63),
        lambda: client.search(object_key="a.jpg", company_id=True),
        lambda: client.search(vector="xy", company_id=7),
        lambda: client.search(image=b"", company_id=7),
        lambda: client.search(image="cat.png", company_id=7),  # type: ignore[arg-type]
        lambda: client.search(image=io.StringIO("text"), company_id=7),  # type: ignore[arg-type]
        lambda: client.search(object_key="a.jpg", company_id=7, limit=0),
        lambda: client.search_many([], company_id=7),
        lambda: client.search_many([{"object_key": "a"}] * 101, company_id=7),
        lambda: client.search_many([7], company_id=7),  # type: ignore[list-item]
        lambda: client.delete([{"meta_id": 1, "company_id": 7}] * 100 + [{"meta_id": 1}]),
        lambda: client.enqueue("", meta_id=1, company_id=7),
        lambda: client.enqueue("a.jpg", meta_id=2**63, company_id=7),
        lambda: client.enqueue_many([], batch_size=0),
        lambda: client.enqueue_many([], batch_size=101),
    ]
    for call in bad:
        with pytest.raises(InvalidMessage):
            call()
    assert server.keys() == []


def test_base64_stays_out_of_the_logs(client: Client, server: redis.Redis) -> None:
    """Flower and the logs show the size of an image; other arguments as they are."""
    with pytest.raises(ServiceUnavailable):
        client.search(image=b"\xff\xd8" * 3000, company_id=7, timeout=0.1)
    with pytest.raises(ServiceUnavailable):
        client.search_many([{"image": b"GIF"}, {"object_key": "a.jpg"}], company_id=7, timeout=0.1)
    shown = [json.loads(raw)["headers"]["kwargsrepr"] for raw in server.lrange("search", 0, -1)]
    assert len(shown) == 2
    assert "'image': '<6000 bytes>'" in shown[1]
    assert "'image': '<3 bytes>'" in shown[0]
    assert "'object_key': 'a.jpg'" in shown[0]
    assert max(map(len, shown)) < 300


def test_one_client_for_all_threads(working: Client, worked_url: str) -> None:
    """Twenty threads get each its own answer, over one connection for results."""

    def search(number: int) -> bool:
        return bool(asked(working.search(object_key=f"{number}.jpg", company_id=number))["company_id"] == number)

    with redis.Redis.from_url(worked_url) as server:
        before = int(server.info("clients")["pubsub_clients"])
        with ThreadPoolExecutor(20) as threads:
            assert all(threads.map(search, range(400)))
        assert int(server.info("clients")["pubsub_clients"]) <= before + 1


def test_a_search_inside_a_task_of_the_application(working: Client) -> None:
    """Celery forbids to wait in a task for one of its own; ours run elsewhere, and may be waited for."""
    host = Celery("host", broker="memory://", backend="cache+memory://", set_as_current=False)

    @host.task
    def nightly() -> Any:
        return working.search(object_key="a.jpg", company_id=7)["matches"]

    assert nightly.apply(throw=True).get(disable_sync_subtasks=False) == []


def test_the_application_keeps_its_own_celery(working: Client) -> None:
    """A client is never the current application, which tasks of the host attach to."""
    from celery import current_app  # noqa: PLC0415 - as an application would look at it

    working.search(object_key="a.jpg", company_id=7)
    assert current_app.main != "lookalike-client"


def test_close_takes_no_connection_from_others(
    own_valkey: Any, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    """A client that is closed leaves no connection, and one that is still used works on."""
    url = own_valkey.connection_url
    settings = ClientSettings(broker_url=url, result_backend_url=url, ledger_url=url)
    server = redis.Redis.from_url(url)
    before = len(server.client_list())
    with Client(settings) as one:
        one.enqueue("a.jpg", meta_id=1, company_id=7)
        with Client(settings) as other:
            other.enqueue("a.jpg", meta_id=1, company_id=7)
        one.enqueue("a.jpg", meta_id=1, company_id=7)
    eventually(lambda: len(server.client_list()) == before)
    server.close()


def test_close_before_use(settings: ClientSettings) -> None:
    """A client connects when it is first used, so one that never was closes too."""
    Client(settings).close()


def test_plain_celery(plain: Celery) -> None:
    """An application with nothing but Celery calls the tasks by name, and gets plain JSON."""
    result = plain.send_task(SEARCH, kwargs={"query": {"object_key": "a.jpg"}, "company_id": 7}, queue="search")
    assert result.get(timeout=10)["hash"] == "ahash"
    result = plain.send_task(DELETE, kwargs={"items": [{"meta_id": 1, "company_id": 7}]}, queue="ingest")
    assert result.get(timeout=10) == {"deleted": 1}
    failed = plain.send_task(
        SEARCH, kwargs={"query": {"object_key": "raise/QueryNotFound"}, "company_id": 7}, queue="search"
    )
    with pytest.raises(Exception, match="no such object") as caught:
        failed.get(timeout=10)
    assert type(caught.value).__name__ == "QueryNotFound"


def test_results_come_again_after_the_connection_was_lost(working: Client, worked_url: str) -> None:
    """A client whose connection for results is cut goes on; nobody has to restart the application."""
    with redis.Redis.from_url(worked_url) as server:
        workers = {connection["id"] for connection in server.client_list(_type="pubsub")}
        working.search(object_key="a.jpg", company_id=7)
        for connection in server.client_list(_type="pubsub"):
            if connection["id"] not in workers:
                server.client_kill_filter(_id=connection["id"])
        for _ in range(3):
            assert working.search(object_key="a.jpg", company_id=7, timeout=10)["matches"] == []
