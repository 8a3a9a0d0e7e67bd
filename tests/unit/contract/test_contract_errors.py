"""The errors of the contract survive the ways on which they travel."""

import json
import pickle
from typing import Any

import pytest
from celery import Celery

import contract
import producer
from contract import InvalidMessage, LookalikeError, Overloaded, QueryNotFound, QueryRejected, ServiceUnavailable

DECLARED = [InvalidMessage, Overloaded, QueryNotFound, QueryRejected, ServiceUnavailable]


def all_errors() -> list[type[LookalikeError]]:
    """Every public error class of the contract and of the producer."""
    public: list[Any] = [getattr(package, name) for package in (contract, producer) for name in package.__all__]
    kinds = {thing for thing in public if isinstance(thing, type) and issubclass(thing, LookalikeError)}
    return sorted(kinds, key=lambda kind: kind.__name__)


@pytest.fixture(scope="module")
def backend() -> Any:
    """A result backend with Celery's JSON encoding of exceptions."""
    return Celery("errors", backend="cache+memory://", set_as_current=False).backend


@pytest.mark.parametrize("kind", all_errors())
def test_an_error_survives_pickle(kind: type[LookalikeError]) -> None:
    """As between the processes of a pool."""
    error = pickle.loads(pickle.dumps(kind("object_key: too long")))  # noqa: S301 - our own
    assert type(error) is kind
    assert str(error) == "object_key: too long"


def test_an_error_with_a_count_survives_pickle() -> None:
    """`accepted` travels too."""
    error = pickle.loads(pickle.dumps(producer.InvalidEvent("event 3: no", accepted=3)))  # noqa: S301 - our own
    assert (str(error), error.accepted) == ("event 3: no", 3)


@pytest.mark.parametrize("kind", DECLARED)
@pytest.mark.parametrize("message", ["photos/1.jpg: no such object", "", "фото", "{brace} %s"])
def test_an_error_survives_the_result_backend(backend: Any, kind: type[LookalikeError], message: str) -> None:
    """A caller that has `contract` gets the class that the task raised, with its message."""
    stored = json.loads(json.dumps(backend.prepare_exception(kind(message), serializer="json")))
    error = backend.exception_to_python(stored)
    assert type(error) is kind
    assert str(error) == message


@pytest.mark.parametrize("kind", DECLARED)
def test_a_caller_without_the_contract_gets_the_name(backend: Any, kind: type[LookalikeError]) -> None:
    """An application that has only Celery sees an exception of the same name."""
    stored = backend.prepare_exception(kind("no"), serializer="json") | {"exc_module": "not.installed"}
    error = backend.exception_to_python(stored)
    assert (type(error).__name__, str(error)) == (kind.__name__, "no")


def test_one_root() -> None:
    """`except LookalikeError` catches all; what is a ValueError by nature is one."""
    assert all(issubclass(kind, LookalikeError) for kind in all_errors())
    assert issubclass(InvalidMessage, ValueError)
    assert issubclass(QueryNotFound, LookupError)
    assert not issubclass(ServiceUnavailable, ValueError)
