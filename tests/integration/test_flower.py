"""Flower, started as anybody would, shows the tasks with their names, arguments and states."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from celery import Celery

from producer import Client
from tests.integration.processes import Worker, eventually, settled


@pytest.fixture
def flower(
    client: Client, worker_env: Mapping[str, str], free_port: int, tmp_path: Path
) -> Iterator[Callable[[str], Any]]:
    """Reads a page of Flower's API as JSON; it listens, and knows both workers."""
    settled(client)
    arguments = ["flower", "--address=127.0.0.1", f"--port={free_port}"]
    with Worker(arguments, {**worker_env, "FLOWER_UNAUTHENTICATED_API": "true"}, tmp_path / "log"):

        def read(path: str) -> Any:
            with urlopen(f"http://127.0.0.1:{free_port}{path}", timeout=10) as answer:
                return json.load(answer)

        def knows_the_workers() -> bool:
            try:
                return len(read("/api/workers?refresh=1")) >= 2
            except (URLError, ConnectionError):
                return False

        eventually("Flower knows both workers", knows_the_workers)
        yield read


def test_tasks_are_shown_as_they_run(flower: Callable[[str], Any], celery_only: Celery) -> None:
    """A task that succeeded and one that was refused stand there with what they were asked."""
    event = {"object_key": "flower/none.png", "meta_id": 1, "company_id": 30}
    good = celery_only.send_task("lookalike.ingest", kwargs={"events": [event]}, queue="ingest")
    bad = celery_only.send_task(
        "lookalike.search", kwargs={"query": {"vector": "00"}, "company_id": 30}, queue="search"
    )
    assert good.get(60)["retried"] == 1
    assert isinstance(bad.get(60, propagate=False), Exception)

    def shown() -> dict[str, dict[str, Any]]:
        return {uuid: task for uuid, task in flower("/api/tasks").items() if uuid in {good.id, bad.id}}

    eventually(
        "both are shown with their ends", lambda: {task["state"] for task in shown().values()} == {"SUCCESS", "FAILURE"}
    )
    tasks = shown()
    assert tasks[good.id]["name"] == "lookalike.ingest"
    assert "flower/none.png" in tasks[good.id]["kwargs"]
    assert tasks[bad.id]["name"] == "lookalike.search"
    assert "InvalidMessage" in tasks[bad.id]["exception"]
