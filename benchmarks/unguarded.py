"""A worker without the guarantees: no ledger, no leases, no claims on pictures."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from contract import DeadLetter
from producer.ledger import Batch, Begun, Ledger
from worker.adapters.claims import RedisClaims
from worker.ports import Claimed, Row
from worker.runtime import Runtime
from worker.services.leases import Leases


class NoLedger(Ledger):
    """Writes nothing down: each batch is begun on for the first time, and each settlement is the first."""

    def record(self, batch: Batch, now: float) -> int:  # noqa: ARG002 - nothing is written down
        """Accept."""
        return 0

    def begin(self, batch: Batch, now: float, *, lease: float = 0.0) -> Begun:  # noqa: ARG002 - as above
        """Begin."""
        return Begun(1, now, None)

    def settle(
        self,
        batch_id: str,  # noqa: ARG002 - as above
        result: Mapping[str, Any],  # noqa: ARG002 - as above
        now: float,  # noqa: ARG002 - as above
        *,
        dead: Sequence[DeadLetter] = (),  # noqa: ARG002 - as above
        successors: Sequence[Batch] = (),  # noqa: ARG002 - as above
    ) -> bool:
        """End."""
        return True

    def renew(self, batch_ids: Iterable[str], until: float) -> None:
        """Renew nothing."""


class NoLeases(Leases):
    """Gives no sign of life."""

    @contextmanager
    def hold(self, batch_id: str) -> Iterator[None]:  # noqa: ARG002 - nothing is held
        """Hold nothing."""
        yield


class NoClaims(RedisClaims):
    """Claims nothing, and remembers no row."""

    def claim(self, token: str, ids: Iterable[int]) -> Claimed:  # noqa: ARG002 - nothing is claimed
        """Claim none."""
        return Claimed()

    def confirm(
        self,
        token: str,  # noqa: ARG002 - as above
        rows: Sequence[Row],  # noqa: ARG002 - as above
        failed: Iterable[int] = (),  # noqa: ARG002 - as above
    ) -> set[int]:
        """Lose none."""
        return set()


class UnguardedRuntime(Runtime):
    """The worker's parts, but for those that keep its promises."""

    @cached_property
    def ledger(self) -> Ledger:
        """No ledger."""
        return NoLedger.from_url(self.settings.ledger_url)

    @cached_property
    def leases(self) -> Leases:
        """No leases."""
        return NoLeases(self.ledger, seconds=self.settings.lease_seconds, longest=0, now=time.time)

    @cached_property
    def claims(self) -> RedisClaims:
        """No claims."""
        return NoClaims(self.ledger.connection, collection=self.settings.collection, lock_seconds=1)
