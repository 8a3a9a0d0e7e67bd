"""Evaluating the profiles on a sample of pictures, a few pictures a call."""

from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from random import Random
from typing import Any, Final, Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from contract import (
    PROFILES,
    Evaluating,
    EvaluationReport,
    EvaluationResult,
    InvalidMessage,
    Profile,
    ProfileEvaluation,
    Recommendation,
)
from worker.core import evaluation
from worker.core.errors import ObjectMissing, Permanent
from worker.core.transforms import TRANSFORMS, Transform
from worker.core.variants import COMPARED, hash_variants
from worker.ports import Jobs, ObjectStore, Row

log = structlog.get_logger(__name__)

# A call begins no further picture after so long.
CALL_SECONDS: Final = 2.0
_PAGE: Final = 500
_IDS: Final = 2**63  # ids are uniform from 0 to below
_ENOUGH: Final = 2  # without a second picture there is no false match
_DIGITS: Final = 6


class Scannable(Protocol):
    """Rows in the order of their ids."""

    def scan(self, company_id: int | None, after: int, limit: int) -> list[Row]:
        """The next `limit` rows of one tenant; fewer only at the end."""


@dataclass(slots=True)
class _Progress:
    """How far an evaluation is: its pictures, how many of them were read, and why some could not be used."""

    keys: list[str]
    read: int = 0
    failed: dict[str, str] = field(default_factory=dict)


class Evaluation:
    """Samples pictures, has them changed and hashed, and counts what would have been found.

    What is known of each picture is kept under a name of its own beside the job's checkpoint: all that a call writes
    is what it found out.
    """

    def __init__(
        self,
        objects: ObjectStore,
        rows: Scannable,
        jobs: Jobs,
        *,
        object_seconds: float,
        now: Callable[[], float],
    ) -> None:
        """Evaluate.

        Args:
            objects: where the pictures are.
            rows: of which tenants' pictures are sampled.
            jobs: holds the checkpoints.
            object_seconds: how long one object may take to read.
            now: monotonic seconds.
        """
        self._objects = objects
        self._rows = rows
        self._jobs = jobs
        self._object_seconds = object_seconds
        self._now = now

    def __call__(self, wanted: Evaluating) -> EvaluationResult:
        """Do the next part: at least one picture, or the report.

        Raises:
            InvalidMessage: there is no such transform, or there are fewer than two pictures that can be used.
            Busy: another worker is at the same evaluation.
            Transient, Misconfigured: OSS, Milvus or Redis failed or refuses.
        """
        transforms = _transforms(wanted)
        name = _name(wanted)
        with self._jobs.turn(name):
            saved = self._jobs.load(name)
            progress = _Progress(self._sample(wanted)) if saved is None else _Progress(**saved)
            total = len(progress.keys)
            try:
                self._take_some(wanted, transforms, progress, name)
            finally:  # what was read before an object store failed is not read again
                if progress.read < total:
                    self._jobs.save(name, asdict(progress))
            if progress.read < total:
                return EvaluationResult(
                    read=progress.read, total=total, failed=progress.failed, done=False, report=None
                )
            try:
                report = _report(wanted, transforms, self._known(name, progress))
            finally:
                self._forget(name, total)
        log.info("evaluated", pictures=report["pictures"], failed=len(progress.failed))
        return EvaluationResult(read=total, total=total, failed=progress.failed, done=True, report=report)

    def _sample(self, wanted: Evaluating) -> list[str]:
        """The keys. Ids are hashes, so the rows that follow upon any id are a sample like any other."""
        if wanted.keys is not None:
            return list(wanted.keys)
        start = Random(wanted.seed).randrange(_IDS)  # noqa: S311 - no secret
        keys: dict[str, None] = {}
        for first, last in ((start, _IDS), (-1, start)):
            after = first
            while len(keys) < wanted.sample:
                rows = self._rows.scan(wanted.company_id, after, _PAGE)
                keys.update(dict.fromkeys(row.object_key for row in rows if row.id <= last))
                if len(rows) < _PAGE or rows[-1].id > last:
                    break
                after = rows[-1].id
        return list(keys)[: wanted.sample]

    def _take_some(self, wanted: Evaluating, transforms: Sequence[Transform], progress: _Progress, name: str) -> None:
        end = self._now() + CALL_SECONDS
        while progress.read < len(progress.keys):
            self._take(wanted, transforms, progress, name)
            if self._now() >= end:
                return

    def _take(self, wanted: Evaluating, transforms: Sequence[Transform], progress: _Progress, name: str) -> None:
        key = progress.keys[progress.read]
        try:
            body = self._objects.get(key, self._now() + self._object_seconds).body
            found = hash_variants(body, _profiles(wanted), transforms, seed=f"{wanted.seed} {key}")
        except (ObjectMissing, Permanent) as error:
            progress.failed[key] = str(error)
        else:
            self._jobs.save(
                _part(name, progress.read),
                {
                    "blank": found.blank,
                    "original": {profile: _text(vector) for profile, vector in found.original.items()},
                    "copies": {profile: _text(vectors) for profile, vectors in found.copies.items()},
                    "turned": _text(found.turned),
                },
            )
        progress.read += 1

    def _known(self, name: str, progress: _Progress) -> list[dict[str, Any]]:
        """What was found out of the pictures. Failed ones, and any that Redis has lost, are left out."""
        parts = (self._jobs.load(_part(name, number)) for number in range(progress.read))
        return [part for part in parts if part is not None]

    def _forget(self, name: str, total: int) -> None:
        for number in range(total):
            self._jobs.drop(_part(name, number))
        self._jobs.drop(name)


def _report(wanted: Evaluating, transforms: Sequence[Transform], known: Sequence[dict[str, Any]]) -> EvaluationReport:
    used = [part for part in known if not part["blank"]]
    if len(used) < _ENOUGH:
        raise InvalidMessage(f"an evaluation needs {_ENOUGH} pictures at least that can be read and are not blank")
    admitted = evaluation.unrelated(_vectors([part["turned"] for part in used]).reshape(-1, 8, COMPARED.bytes))
    every = len(used) * (len(used) - 1) // 2
    pairs = int(admitted.sum()) // 2
    if not pairs:
        raise InvalidMessage("an evaluation needs pictures that show different things: these are all alike")
    profiles = [_evaluate(profile, wanted, transforms, used, admitted) for profile in _profiles(wanted)]
    best = evaluation.best([profile["recall"] for profile in profiles])
    return EvaluationReport(
        pictures=len(used),
        blank=len(known) - len(used),
        transforms=[transform.name for transform in transforms],
        unrelated_pairs=pairs,
        related_pairs=every - pairs,
        pairs_needed=evaluation.pairs_needed(wanted.false_match_rate),
        false_match_rate=wanted.false_match_rate,
        profiles=profiles,
        recommended=None if best is None else _recommendation(profiles[best]),
    )


def _evaluate(
    profile: Profile,
    wanted: Evaluating,
    transforms: Sequence[Transform],
    used: Sequence[dict[str, Any]],
    admitted: NDArray[np.bool_],
) -> ProfileEvaluation:
    originals = _vectors([part["original"][profile.name] for part in used])
    copies = _vectors([part["copies"][profile.name] for part in used]).reshape(
        len(used), len(transforms), profile.bytes
    )
    counts = evaluation.count_pairs(originals, copies, admitted)
    distance = counts.largest_distance(wanted.false_match_rate)
    rate = 0.0 if distance is None else float(counts.false_match_rates[distance])
    names = [transform.name for transform in transforms]
    return ProfileEvaluation(
        hash=profile.name,
        bits=profile.bits,
        max_distance=distance,
        recall=0.0 if distance is None else _rounded(counts.recall[distance]),
        false_match_rate=_rounded(rate),
        upper_bound=_rounded(evaluation.upper_bound(rate, int(admitted.sum()) // 2)),
        recalls={
            name: 0.0 if distance is None else _rounded(recalls[distance])
            for name, recalls in zip(names, counts.recalls, strict=True)
        },
        recall_at=[_rounded(recall) for recall in counts.recall],
        false_match_rate_at=[_rounded(rate) for rate in counts.false_match_rates],
        recalls_at={
            name: [_rounded(recall) for recall in recalls] for name, recalls in zip(names, counts.recalls, strict=True)
        },
    )


def _recommendation(profile: ProfileEvaluation) -> Recommendation | None:
    distance = profile["max_distance"]
    return None if distance is None else Recommendation(hash=profile["hash"], max_distance=distance)


def _profiles(wanted: Evaluating) -> list[Profile]:
    return [PROFILES[name] for name in wanted.hashes]


def _transforms(wanted: Evaluating) -> list[Transform]:
    names = wanted.transforms or list(TRANSFORMS)
    unknown = [name for name in names if name not in TRANSFORMS]
    if unknown:
        raise InvalidMessage(f"transforms: there is no {unknown[0]!r}; there are {', '.join(TRANSFORMS)}")
    return [TRANSFORMS[name] for name in names]


def _name(wanted: Evaluating) -> str:
    """A name for all that decides which hashes are computed."""
    asked = wanted.model_dump_json(exclude={"version", "false_match_rate"})
    return f"evaluate:{blake2b(asked.encode(), digest_size=16).hexdigest()}"


def _part(name: str, number: int) -> str:
    return f"{name}:{number}"


def _text(vectors: bytes) -> str:
    return b64encode(vectors).decode()


def _vectors(texts: Sequence[str]) -> NDArray[np.uint8]:
    """One row for each text."""
    rows = [b64decode(text) for text in texts]
    return np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(len(rows), -1)


def _rounded(value: float) -> float:
    """Six significant digits."""
    return float(f"{value:.{_DIGITS}g}")
