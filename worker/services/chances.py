"""Estimates of chance, one for each tenant that is searched, kept up to date."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

import structlog

from contract import LookalikeError
from worker.core.chance import Estimate
from worker.ports import Sample

log = structlog.get_logger(__name__)

# Vectors of the first sample, for which a caller waits some 20 ms, and of those that follow, which nobody waits for.
_FIRST: Final = 2048
_SAMPLE: Final = 8192
# A tenant with fewer pictures says little of how often what comes about: all tenants say it for it.
_ENOUGH: Final = 1000
# An estimate that changes is made again soon, one that does not is kept for longer.
_SOONEST_SECONDS: Final = 30.0
_LATEST_SECONDS: Final = 600.0
_CHANGED: Final = 1.25
_TENANTS: Final = 1000


class Sampled(Protocol):
    """An index of which a sample can be had."""

    def sample(self, company_id: int | None, most: int) -> Sample:
        """About so many vectors of a tenant, or of all; see `SearchableIndex`."""


@dataclass(slots=True)
class _Kept:
    """An estimate, when it was made, how long it is good for, and whether a better one is being made."""

    estimate: Estimate
    made: float
    good_for: float
    renewing: bool = False


class Chances:
    """The estimates of one profile's tenants. It is shared by the threads of a process.

    The first search of a tenant waits for a small sample. Later ones are given what there is; when that is old, a
    larger sample is taken in the background: every 30 seconds while a tenant grows fast, every 10 minutes while not.
    """

    def __init__(
        self,
        index: Sampled,
        make: Callable[[Sample], Estimate],
        *,
        start: Callable[[Callable[[], None]], None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Estimate.

        Args:
            index: the rows.
            make: from a sample to an estimate.
            start: runs what nobody waits for; a thread of its own unless given.
            monotonic: a clock.
        """
        self._index = index
        self._make = make
        self._start = start or _in_thread
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._kept: OrderedDict[int | None, _Kept] = OrderedDict()

    def of(self, company_id: int | None) -> Estimate:
        """The estimate for a tenant; None: for all of them together.

        Raises:
            Transient, Misconfigured: there is none yet, and the index cannot be asked.
        """
        with self._lock:
            kept = self._kept.get(company_id)
            if kept is not None:
                self._kept.move_to_end(company_id)
                renew = not kept.renewing and self._monotonic() > kept.made + kept.good_for
                kept.renewing = kept.renewing or renew
        if kept is None:
            kept = _Kept(self._sampled(company_id, _FIRST), self._monotonic(), 0.0)
            with self._lock:
                self._kept[company_id] = kept
                while len(self._kept) > _TENANTS:
                    self._kept.popitem(last=False)
        elif renew:
            self._start(lambda: self._renew(company_id, kept))
        return kept.estimate

    def _renew(self, company_id: int | None, kept: _Kept) -> None:
        try:
            estimate = self._sampled(company_id, _SAMPLE)
        except LookalikeError as error:
            log.warning("chance_not_renewed", company_id=company_id, error=str(error))
            good_for = _SOONEST_SECONDS
        else:
            before, now = sorted((kept.estimate.total, estimate.total))
            changed = now > _CHANGED * before
            longer = _SOONEST_SECONDS if changed else min(2 * kept.good_for, _LATEST_SECONDS)
            good_for = max(longer, _SOONEST_SECONDS)
            kept.estimate = estimate
        kept.made, kept.good_for, kept.renewing = self._monotonic(), good_for, False

    def _sampled(self, company_id: int | None, most: int) -> Estimate:
        sample = self._index.sample(company_id, most)
        # The picture that is found is there, though the sample may not show it yet.
        total = max(1, sample.total)
        if sample.total < _ENOUGH and company_id is not None:
            return replace(self.of(None), total=total)
        return self._make(Sample(sample.vectors, total))


def _in_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="lookalike-chance", daemon=True).start()
