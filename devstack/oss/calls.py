"""A request as the operations see it, and what they have to answer it with."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from devstack.oss.addressing import Target
from devstack.oss.config import Clock
from devstack.oss.storage import Storage


@dataclass(frozen=True, slots=True)
class Call:
    """A verified request.

    Attributes:
        method: upper case.
        target: bucket, key and parameters.
        headers: by lower-case name.
        body: its chunks, to be read once.
    """

    method: str
    target: Target
    headers: Mapping[str, str]
    body: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class Context:
    """What all operations share."""

    storage: Storage
    region: str
    clock: Clock
