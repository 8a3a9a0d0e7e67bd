"""The check: what was accepted, against the rows and dead letters that there are."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contract import DeadLetter, Reason


@dataclass(frozen=True, slots=True)
class Row:
    """What the index holds of a picture."""

    meta_id: int
    company_id: int
    object_key: str
    vector: bytes


@dataclass(frozen=True, slots=True)
class Upload:
    """A picture, and how its event must end.

    Attributes:
        row: what the index must hold.
        reason: of the dead letter that must be there instead of the row; None where the row must be.
        may_die: reasons for which it may be a dead letter as well, where a fault leaves that open.
    """

    row: Row
    reason: Reason | None = None
    may_die: frozenset[Reason] = frozenset()

    @property
    def event(self) -> dict[str, Any]:
        """What is enqueued."""
        return {"object_key": self.row.object_key, "meta_id": self.row.meta_id, "company_id": self.row.company_id}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is not as it must be; pictures are named by their meta_id.

    Attributes:
        missing: neither a row nor a dead letter.
        doubled: several rows, several dead letters, or both.
        wrong: a row that is not as it must be, or that nobody asked for.
        unexpected: dead letters that should not be, each as its event and reason.
        dead_expected: how many dead letters there must be.
        dead_found: how many there are.
        copies: rows that are counted and that no query shows.
        stuck: events still outstanding when the patience ended.
        failed: why there is no verdict, where the run itself ended in an error.
    """

    missing: tuple[int, ...] = ()
    doubled: tuple[int, ...] = ()
    wrong: tuple[int, ...] = ()
    unexpected: tuple[str, ...] = ()
    dead_expected: int = 0
    dead_found: int = 0
    copies: int = 0
    stuck: int = 0
    failed: str = ""

    @property
    def holds(self) -> bool:
        """Whether the promise was kept."""
        broken = self.missing or self.doubled or self.wrong or self.unexpected or self.copies or self.stuck
        return not (broken or self.failed)

    def __str__(self) -> str:
        """Say what is wrong, each kind with its first pictures."""
        kinds = ("missing", "doubled", "wrong", "unexpected")
        said = [
            f"{len(getattr(self, kind))} {kind}: {getattr(self, kind)[:5]}" for kind in kinds if getattr(self, kind)
        ]
        said += [f"{getattr(self, kind)} {kind}" for kind in ("copies", "stuck") if getattr(self, kind)]
        return self.failed or "; ".join(said) or "as promised"


def judge(
    accepted: Mapping[int, Upload], rows: Iterable[Row], letters: Iterable[DeadLetter], *, counted: int, stuck: int = 0
) -> Verdict:
    """Compare.

    Args:
        accepted: the pictures whose events were accepted, by meta_id, as they must be in the end.
        rows: of the index.
        letters: the dead letters.
        counted: how many rows the index counts, which may be more than it shows.
        stuck: how many events are still outstanding.
    """
    rows_of, letters_of = defaultdict[int, list[Row]](list), defaultdict[int | None, list[DeadLetter]](list)
    for row in rows:
        rows_of[row.meta_id].append(row)
    for letter in letters:
        letters_of[_meta_id(letter)].append(letter)
    strange_letters = [letter for id_, found in letters_of.items() if id_ not in accepted for letter in found]
    strange_rows = [id_ for id_ in rows_of if id_ not in accepted]
    for id_, upload in accepted.items():
        strange_letters += [letter for letter in letters_of[id_] if not _may_be(upload, letter)]
    return Verdict(
        missing=tuple(id_ for id_ in accepted if not rows_of[id_] and not letters_of[id_]),
        doubled=tuple(id_ for id_ in accepted if len(rows_of[id_]) + len(letters_of[id_]) > 1),
        wrong=tuple(strange_rows + [id_ for id_, upload in accepted.items() if _is_wrong(upload, rows_of[id_])]),
        unexpected=tuple(f"{letter.event} {letter.reason}: {letter.error}" for letter in strange_letters),
        dead_expected=sum(upload.reason is not None for upload in accepted.values()),
        dead_found=sum(map(len, letters_of.values())),
        copies=max(0, counted - sum(map(len, rows_of.values()))),
        stuck=stuck,
    )


def _meta_id(letter: DeadLetter) -> int | None:
    known = letter.event.get("meta_id") if isinstance(letter.event, Mapping) else None
    return known if isinstance(known, int) else None


def _may_be(upload: Upload, letter: DeadLetter) -> bool:
    return letter.reason == upload.reason or letter.reason in upload.may_die


def _is_wrong(upload: Upload, rows: Sequence[Row]) -> bool:
    return any(upload.reason is not None or row != upload.row for row in rows)
