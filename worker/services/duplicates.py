"""The groups of a tenant's pictures that look alike, a step at a time."""

import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from typing import Any, Final, Literal, Protocol

import numpy as np
import numpy.typing as npt
import structlog

from contract import InvalidMessage, Profile, row_id
from contract.duplicates import PAGE_MEMBERS, DuplicatesOptions, DuplicatesResult, Group, GroupMember
from worker.core.fingerprints import LOW_QUALITY
from worker.core.grouping import Comparison, Places, Separation, Words, collapse, list_members, to_words
from worker.ports import Row

log = structlog.get_logger(__name__)

# Rows that are read from the index at once: a megabyte or two.
PAGE: Final = 8192
_STEP_SECONDS: Final = 2.0

_COMPARED: Final = "compared"
_SEPARATED: Final = "separated"
_MEMBERS: Final = "members"
# Members that are stored together. A page looks into one or two such parts.
_PART: Final = 20_000

_ROW: Final = np.dtype([("id", np.int64), ("indexed_at", np.int64)])
_MEMBER: Final = np.dtype(
    [
        ("id", np.int64),
        ("indexed_at", np.int64),
        ("representative", np.int64),
        ("size", np.int32),
        ("distance", np.uint16),
    ]
)


class Rows(Protocol):
    """A profile's collection."""

    def scan(self, company_id: int | None, after: int, limit: int) -> list[Row]:
        """The next `limit` rows of one tenant in the order of their ids; fewer only at the end."""

    def count(self, company_id: int | None) -> int:
        """The number of rows of one tenant."""

    def lookup(self, keys: Mapping[int, int], *, fresh: bool = False) -> Mapping[int, Row]:
        """Read rows by primary key."""


class JobState(Protocol):
    """A checkpoint and parts of bytes for each job, by its name. Its methods raise `Transient`."""

    def turn(self, name: str) -> AbstractContextManager[None]:
        """Have a job alone for one step. It raises `Busy` where somebody else has it."""

    def load(self, name: str) -> tuple[Any, int] | None:
        """Read a checkpoint and its version; None where there is none."""

    def read(self, name: str, part: str) -> bytes | None:
        """Read a part; None where there is none."""

    def save(
        self,
        name: str,
        checkpoint: Any,
        parts: Mapping[str, bytes],
        *,
        version: int | None,
        anew: bool = False,
    ) -> int:
        """Write a checkpoint and parts at once. It raises `Busy` where the version is another by now."""


@dataclass(frozen=True, slots=True)
class _Progress:
    """The checkpoint.

    Attributes:
        run: the job's number: cursors of another are not taken.
        max_distance: in bits.
        decided: a digest of the decisions when the job began.
        state: what is being done.
        after: the last id that was read.
        pages: how many parts of rows are stored.
        read: rows that were read.
        rows: of those, the ones that are compared.
        total: of what is being done.
        done: of that.
        members: rows in groups.
        groups: their number.
        delivered: whether the last page was handed out.
    """

    run: str
    max_distance: int
    decided: str
    state: Literal["reading", "comparing", "grouping", "done"] = "reading"
    after: int = -1
    pages: int = 0
    read: int = 0
    rows: int = 0
    total: int = 0
    done: int = 0
    members: int = 0
    groups: int = 0
    delivered: bool = False


class Duplicates:
    """Reads a tenant's rows, compares them all, and hands the groups out page by page.

    A call works for about two seconds; the next one, on any worker, goes on from there. A call without a page begins a
    new job where there is none, where the last one was handed out to its end, and where decisions were made since it
    began.
    """

    def __init__(
        self,
        index: Rows,
        state: JobState,
        profile: Profile,
        decisions: Callable[[int], Iterable[tuple[int, int]]],
        distance_of: Callable[[int, float], int | None],
        *,
        seconds: float = _STEP_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Work on a profile.

        Args:
            index: its collection.
            state: keeps the jobs.
            profile: of the vectors.
            decisions: the pairs of a tenant's meta_ids that are no duplicates.
            distance_of: the largest distance for a tenant and a chance; None where even 0 is too large.
            seconds: for which a call works.
            clock: monotonic seconds.
        """
        self._index = index
        self._state = state
        self._profile = profile
        self._decisions = decisions
        self._distance_of = distance_of
        self._seconds = seconds
        self._clock = clock

    def __call__(self, wanted: DuplicatesOptions) -> DuplicatesResult:
        """Do the next step, or hand out a page.

        Raises:
            InvalidMessage: the page is of another job, or no distance has so small a chance.
            Busy: another worker is at the same job.
            Transient, Misconfigured: Redis or Milvus failed or refuses.
        """
        name = self._name(wanted)
        with self._state.turn(name):
            loaded = self._state.load(name)
            if wanted.page is not None:
                return self._page_of(name, wanted, loaded)
            decided = sorted(self._decisions(wanted.company_id))
            digest = blake2b(repr(decided).encode(), digest_size=8).hexdigest()
            if loaded is None or wanted.restart or loaded[0]["delivered"] or loaded[0]["decided"] != digest:
                job = _Job(name, self._begin(wanted, digest), self._state, loaded[1] if loaded else None)
                job.save(job.progress, anew=True)
            else:
                job = _Job(name, _Progress(**loaded[0]), self._state, loaded[1])
            deadline = self._clock() + self._seconds
            while job.progress.state != "done":
                self._step(job, wanted, decided, lambda: self._clock() >= deadline)
                if self._clock() >= deadline:
                    break
            if job.progress.state == "done":
                return self._page(job, wanted, 0)
            return self._result(job.progress)

    def _name(self, wanted: DuplicatesOptions) -> str:
        bound = f"chance={wanted.chance!r}" if wanted.max_distance is None else f"{wanted.max_distance}"
        quality = ":low_quality" if wanted.low_quality else ""
        return f"duplicates:{wanted.company_id}:{self._profile.name}:{bound}{quality}"

    def _begin(self, wanted: DuplicatesOptions, digest: str) -> _Progress:
        most = wanted.max_distance
        if most is None:
            most = self._distance_of(wanted.company_id, wanted.chance)
        if most is None and wanted.max_chance is None:
            most = 0  # of a tenant of so few pictures little is known: equal vectors are safe
        if most is None:
            raise InvalidMessage(f"max_chance: even equal vectors are expected more often than {wanted.chance}")
        log.info("duplicates_begun", company_id=wanted.company_id, hash=self._profile.name, max_distance=most)
        return _Progress(
            run=secrets.token_hex(16),
            max_distance=most,
            decided=digest,
            total=self._index.count(wanted.company_id),
        )

    def _step(
        self, job: "_Job", wanted: DuplicatesOptions, decided: Sequence[tuple[int, int]], expired: Callable[[], bool]
    ) -> None:
        match job.progress.state:
            case "reading":
                self._read(job, wanted)
            case "comparing":
                self._compare(job, expired)
            case "grouping":
                pairs = [(row_id(wanted.company_id, a), row_id(wanted.company_id, b)) for a, b in decided]
                self._group(job, pairs, expired)
            case "done":
                pass

    def _read(self, job: "_Job", wanted: DuplicatesOptions) -> None:
        rows = self._index.scan(wanted.company_id, job.progress.after, PAGE)
        kept = [
            (row.id, row.indexed_at, hashed.vector)
            for row in rows
            for hashed in row.hashes
            if hashed.profile == self._profile.name and (wanted.low_quality or hashed.quality >= LOW_QUALITY)
        ]
        progress, parts = job.progress, {}
        if kept:
            heads = np.array([(id_, indexed_at) for id_, indexed_at, _ in kept], _ROW)
            parts[f"rows{progress.pages}"] = heads.tobytes() + b"".join(vector for _, _, vector in kept)
        progress = replace(
            progress,
            after=rows[-1].id if rows else progress.after,
            pages=progress.pages + len(parts),
            read=progress.read + len(rows),
            rows=progress.rows + len(kept),
            done=progress.read + len(rows),
            total=max(progress.total, progress.read + len(rows)),
        )
        if len(rows) < PAGE:
            progress = replace(progress, state="comparing", done=0, total=progress.rows * (progress.rows - 1) // 2)
        job.save(progress, parts)

    def _compare(self, job: "_Job", expired: Callable[[], bool]) -> None:
        _, words = job.rows(self._profile)
        distinct, _ = collapse(words)
        kept = job.part(_COMPARED)
        comparison = Comparison(distinct, job.progress.max_distance, kept)
        finished = comparison.advance(expired)
        progress = replace(job.progress, done=comparison.done, total=comparison.total)
        if finished:
            progress = replace(progress, state="grouping", done=0, total=0)
        job.save(progress, {_COMPARED: comparison.dump()})

    def _group(self, job: "_Job", decided: Sequence[tuple[int, int]], expired: Callable[[], bool]) -> None:
        heads, words = job.rows(self._profile)
        distinct, places = collapse(words)
        progress = job.progress
        components = Comparison(distinct, progress.max_distance, job.part(_COMPARED)).components()[places]
        separation = Separation(
            words, components, _places(heads["id"], decided), progress.max_distance, job.part(_SEPARATED)
        )
        if separation.advance(expired):
            self._finish(job, heads, words, separation.groups())
        else:
            progress = replace(progress, done=separation.done, total=separation.total)
            job.save(progress, {_SEPARATED: separation.dump()})

    def _finish(self, job: "_Job", heads: npt.NDArray[Any], words: Words, groups: Places) -> None:
        members = list_members(words, groups, heads["indexed_at"])
        found = np.empty(len(members.rows), _MEMBER)
        found["id"] = heads["id"][members.rows]
        found["indexed_at"] = heads["indexed_at"][members.rows]
        found["representative"] = heads["id"][members.representatives]
        found["size"], found["distance"] = members.sizes, members.distances
        progress = replace(
            job.progress, state="done", done=len(heads), total=len(heads), members=len(found), groups=members.groups
        )
        parts = {
            f"{_MEMBERS}{number}": found[start : start + _PART].tobytes()
            for number, start in enumerate(range(0, len(found), _PART))
        }
        job.save(progress, parts, anew=True)
        log.info("duplicates_grouped", rows=len(heads), groups=members.groups, members=len(found))

    def _page_of(self, name: str, wanted: DuplicatesOptions, loaded: tuple[Any, int] | None) -> DuplicatesResult:
        run, _, offset = str(wanted.page).partition(":")
        if loaded is None or loaded[0]["run"] != run or loaded[0]["state"] != "done":
            raise InvalidMessage("page: it is of a job that has expired or was begun anew; ask without a page")
        return self._page(_Job(name, _Progress(**loaded[0]), self._state, loaded[1]), wanted, int(offset))

    def _page(self, job: "_Job", wanted: DuplicatesOptions, offset: int) -> DuplicatesResult:
        members = job.members(offset, offset + PAGE_MEMBERS)
        rows = self._index.lookup(dict.fromkeys(map(int, members["id"]), wanted.company_id))
        groups: list[Group] = []
        for member in members:
            representative, row = int(member["representative"]), rows.get(int(member["id"]))
            if not groups or groups[-1]["representative"] != representative:
                groups.append(Group(representative=representative, size=int(member["size"]), members=[]))
            if row is not None and row.indexed_at == member["indexed_at"]:
                groups[-1]["members"].append(
                    GroupMember(
                        id=row.id, meta_id=row.meta_id, object_key=row.object_key, distance=int(member["distance"])
                    )
                )
        after = offset + len(members)
        if after >= job.progress.members and not job.progress.delivered:
            job.save(replace(job.progress, delivered=True))
        cursor = f"{job.progress.run}:{after}" if after < job.progress.members else None
        return self._result(job.progress, groups, cursor)

    def _result(
        self, progress: _Progress, page: list[Group] | None = None, cursor: str | None = None
    ) -> DuplicatesResult:
        return DuplicatesResult(
            hash=self._profile.name,
            max_distance=progress.max_distance,
            state=progress.state,
            done=progress.done,
            total=progress.total,
            groups=progress.groups,
            page=page or [],
            next=cursor,
        )


def _places(ids: npt.NDArray[np.int64], pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The places of pairs of ids among ids in order; pairs that are not both there are left out."""
    if not len(ids) or not pairs:
        return []
    wanted = np.array(pairs, np.int64)
    places = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    present = (ids[places] == wanted).all(axis=1)
    return [(int(a), int(b)) for a, b in places[present]]


class _Job:
    """One job while a worker has it: its progress, and what is stored of it."""

    def __init__(self, name: str, progress: _Progress, state: JobState, version: int | None) -> None:
        self.progress = progress
        self._name = name
        self._state = state
        self._version = version

    def save(self, progress: _Progress, parts: Mapping[str, bytes] | None = None, *, anew: bool = False) -> None:
        self.progress = progress
        self._version = self._state.save(self._name, asdict(progress), parts or {}, version=self._version, anew=anew)

    def part(self, name: str) -> bytes | None:
        return self._state.read(self._name, name)

    def rows(self, profile: Profile) -> tuple[npt.NDArray[Any], Words]:
        """The ids and times of the rows, in the order of the ids, and their vectors."""
        heads, vectors = [np.empty(0, _ROW)], [b""]
        for number in range(self.progress.pages):
            page = self._state.read(self._name, f"rows{number}") or b""
            length = len(page) // (_ROW.itemsize + profile.bytes)
            heads.append(np.frombuffer(page, _ROW, length))
            vectors.append(page[length * _ROW.itemsize :])
        return np.concatenate(heads), to_words(b"".join(vectors), profile.bits)

    def members(self, start: int, end: int) -> npt.NDArray[Any]:
        """The members from one to another, without it."""
        end = min(end, self.progress.members)
        parts = [
            np.frombuffer(self._state.read(self._name, f"{_MEMBERS}{number}") or b"", _MEMBER)
            for number in range(start // _PART, -(-end // _PART))
        ]
        first = start // _PART * _PART
        return np.concatenate([np.empty(0, _MEMBER), *parts])[start - first : end - first]
