"""A search worker is warm before its first caller, and starts without Milvus."""

import threading
from typing import Any, Final

import pytest

from worker import runtime as module
from worker.core.errors import Misconfigured, Transient
from worker.runtime import Runtime
from worker.settings import WorkerSettings

_SECONDS: Final = 10.0


class Index:
    """An index whose searches fail with these errors, one after the other, and then succeed."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.searches = 0
        self.searched = threading.Event()

    def search(self, vectors: list[bytes], **_: Any) -> list[list[object]]:
        """Fail, or find nothing."""
        self.searches += 1
        self.searched.set()
        if self._errors:
            raise self._errors.pop(0)
        return [[] for _ in vectors]


@pytest.fixture
def warming(monkeypatch: pytest.MonkeyPatch) -> Runtime:
    """A runtime that does not wait between two tries."""
    monkeypatch.setattr(module, "_WARM_SECONDS", 0)
    settings = WorkerSettings(
        broker_url="redis://localhost/0",
        milvus_uri="http://localhost:19530",
        oss_endpoint="localhost",
        oss_bucket="pictures",
        oss_region="cn-hangzhou",
        fast_hash="off",
    )
    return Runtime(settings, NotImplemented, NotImplemented)


def warm(runtime: Runtime, index: Index) -> threading.Thread:
    """Begin to warm the runtime up on this index."""
    runtime.__dict__["index"] = index
    return runtime.warm()


def test_it_searches_until_milvus_answers(warming: Runtime) -> None:
    """Errors that pass are met with another try; after an answer there is none."""
    index = Index(Transient("away"), Transient("away"))
    thread = warm(warming, index)
    thread.join(_SECONDS)
    assert not thread.is_alive()
    assert index.searches == 3


def test_it_gives_up_where_trying_again_is_of_no_use(warming: Runtime) -> None:
    """A wrong token stays wrong; searches say so themselves."""
    index = Index(Misconfigured("refused"))
    warm(warming, index).join(_SECONDS)
    assert index.searches == 1


def test_nobody_waits_for_it_and_it_ends_with_the_worker(warming: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """While Milvus is away, `warm` has long returned, and a worker that stops ends the tries."""
    monkeypatch.setattr(module, "_WARM_SECONDS", 3600)
    index = Index(*[Transient("away")] * 10)
    thread = warm(warming, index)
    assert index.searched.wait(_SECONDS)
    warming.stop()
    thread.join(_SECONDS)
    assert not thread.is_alive()
    assert index.searches == 1
