"""No answer tells a company of another's pictures: a short run of the tenant fuzz. `make fuzz-tenants` asks more."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from uuid import uuid4

import pytest
from celery import Celery
from pymilvus import MilvusClient

from contract import DELETE, DUPLICATES, SEARCH
from tests.fuzz_tenants import Asking, connected, run
from tests.integration.processes import Worker, on_own_databases
from tests.tenants import SERVED, Call, Calls, flaws


@pytest.fixture
def asking(worker_env: Mapping[str, str], milvus: MilvusClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asking]:
    """A worker's code on the shared Milvus, with a collection and databases of its own."""
    for name, value in worker_env.items():
        monkeypatch.setenv(name, value)
    collection = f"tenants{uuid4().hex[:8]}"
    asking = Asking(on_own_databases(worker_env, 9), collection)
    asking.fill()
    with closing(asking):
        yield asking
    for name in SERVED:
        milvus.drop_collection(f"{collection}_{name.replace('.', '_')}")


@pytest.fixture
def app(asking: Asking, tmp_path: Path) -> Iterator[Celery]:
    """A caller, and a worker that answers it."""
    arguments = ["worker", "-l", "warning", "-Q", "ingest,search", "-P", "threads", "-c", "2", "-n", "tenants@%h"]
    with Worker(arguments, asking.variables, tmp_path / "log"), connected(asking.variables) as app:
        yield app


def test_no_answer_tells_of_another_company(asking: Asking, app: Celery) -> None:
    """Hostile ids, filters, vectors, images, keys and batches; deletes and groups too. What is stored stays so."""
    slow = (call for call in Calls(7) if call.task in {DELETE, DUPLICATES})
    tally = run(asking, app, chain(islice(slow, 6), Calls(7)), 400)
    tally.flaws += asking.missing(tally.deleted)
    assert not tally.flaws
    assert tally.by_task > 5
    assert tally.answered > 50
    assert tally.deleted
    assert tally.rows > 1000
    everything = Call(SEARCH, {"query": {"vector": "00" * 8}, "all_companies": True, "limit": 1000})
    answer = asking(everything)
    assert len({row["company_id"] for row in answer.value["matches"]}) > 3
    # So the judge has something to see where a filter is missing.
    assert flaws(Call(SEARCH, everything.message | {"company_id": 1}), answer)
