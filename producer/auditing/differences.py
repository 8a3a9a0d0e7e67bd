"""What an audit finds."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

from contract import UploadEvent


class DifferenceKind(StrEnum):
    """How an object and the collection differ."""

    MISSING = "missing"  # the object's picture has no row
    CHANGED = "changed"  # its row is of other content, or of an earlier object
    ORPHANED = "orphaned"  # the row's object is gone
    UNMAPPED = "unmapped"  # nobody's picture
    DEAD = "dead"  # missing, and given up: its event is a dead letter


FIXABLE: Final = (DifferenceKind.MISSING, DifferenceKind.CHANGED, DifferenceKind.ORPHANED)


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference.

    Attributes:
        kind: what is wrong.
        object_key: the object.
        company_id: whose picture it is; None where that is not known.
        meta_id: the same.
    """

    kind: DifferenceKind
    object_key: str
    company_id: int | None = None
    meta_id: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Its fields, ready for JSON."""
        return asdict(self)

    def event(self) -> UploadEvent | None:
        """The event that mends it; None where no event does."""
        if self.kind not in FIXABLE or self.company_id is None or self.meta_id is None:
            return None
        return UploadEvent(
            object_key=self.object_key,
            meta_id=self.meta_id,
            company_id=self.company_id,
            when="removed" if self.kind is DifferenceKind.ORPHANED else None,
        )


@dataclass(slots=True)
class AuditCounts:
    """How it stands.

    Attributes:
        rows: that were compared.
        objects: that were compared, without folders.
        superseded: objects of pictures that have a later object. They are no difference.
        looked: objects that were looked at closer.
        differences: how many of each kind.
    """

    rows: int = 0
    objects: int = 0
    superseded: int = 0
    looked: int = 0
    differences: dict[DifferenceKind, int] = field(default_factory=lambda: dict.fromkeys(DifferenceKind, 0))

    @property
    def fixable(self) -> int:
        """How many differences there are that events mend."""
        return sum(self.differences[kind] for kind in FIXABLE)

    def as_dict(self) -> dict[str, int]:
        """All counts under their names, ready for JSON."""
        told = {"rows": self.rows, "objects": self.objects, "superseded": self.superseded, "looked": self.looked}
        return told | {kind.value: number for kind, number in self.differences.items()}
