"""A search worker is warm before its first caller, and starts without Milvus."""

import threading
from typing import Final

from worker.core.errors import Misconfigured, Transient
from worker.services.warming import warm

_SECONDS: Final = 10.0


class Call:
    """A call that fails with these errors, one after the other, and then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.count = 0
        self.made = threading.Event()

    def __call__(self) -> None:
        """Fail, or do nothing."""
        self.count += 1
        self.made.set()
        if self._errors:
            raise self._errors.pop(0)


def test_it_is_called_until_milvus_answers() -> None:
    """Errors that pass are met with another try; after an answer there is none."""
    call = Call(Transient("away"), Transient("away"))
    thread = warm(call, threading.Event(), again=0)
    thread.join(_SECONDS)
    assert not thread.is_alive()
    assert call.count == 3


def test_it_gives_up_where_trying_again_is_of_no_use() -> None:
    """A wrong token stays wrong; searches say so themselves."""
    call = Call(Misconfigured("refused"))
    warm(call, threading.Event(), again=0).join(_SECONDS)
    assert call.count == 1


def test_nobody_waits_for_it_and_it_ends_with_the_worker() -> None:
    """While Milvus is away, `warm` has long returned, and a worker that stops ends the tries."""
    call, stopping = Call(*[Transient("away")] * 10), threading.Event()
    thread = warm(call, stopping, again=3600)
    assert call.made.wait(_SECONDS)
    stopping.set()
    thread.join(_SECONDS)
    assert not thread.is_alive()
    assert call.count == 1
