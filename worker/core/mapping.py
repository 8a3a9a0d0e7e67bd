"""Whose picture an object is, where its event does not say."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from contract import KeyTemplate, ObjectEvent, UploadEvent, key_template
from contract.id_texts import IdName
from worker.core.errors import Unmapped

IdSource = Literal["callback", "key", "metadata"]

_NAMES: Final[tuple[IdName, ...]] = ("company_id", "meta_id")
_INTEGER: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_INT64: Final = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Mapper:
    """Finds ids where it is told to look, each where it stands first. It never guesses.

    Attributes:
        sources: where to look, in the order of preference.
        template: by which keys are read; None: an event's own, or they say nothing.
        bucket: whose objects the workers read.
    """

    sources: Sequence[IdSource]
    template: KeyTemplate | None
    bucket: str

    def __call__(self, event: ObjectEvent, metadata: Callable[[], Mapping[IdName, str]]) -> UploadEvent:
        """Find the ids of an event.

        Args:
            event: of this or another bucket.
            metadata: asks for the ids in the object's user metadata. It is called at most once, and only where the
                event does not tell them and the sources before did not have both.

        Raises:
            Unmapped: an id stands nowhere, or is no signed 64-bit integer where it stands first; or the object is in
                another bucket. And what `metadata` raises.
        """
        if event.bucket is not None and event.bucket != self.bucket:
            raise Unmapped(f"it is in the bucket {event.bucket}, and the workers read {self.bucket}")
        template = key_template(event.key_template) if event.key_template is not None else self.template
        found: dict[IdName, int] = {}
        for source in self.sources:
            if len(found) == len(_NAMES):
                break
            for name, text in self._texts(source, event, template, metadata).items():
                if name not in found:
                    found[name] = _integer(name, text, source)
        if missing := [name for name in _NAMES if name not in found]:
            raise Unmapped(self._explain(missing, template))
        return UploadEvent(object_key=event.object_key, when=event.when, **found)

    @staticmethod
    def _texts(
        source: IdSource,
        event: ObjectEvent,
        template: KeyTemplate | None,
        metadata: Callable[[], Mapping[IdName, str]],
    ) -> Mapping[IdName, str]:
        match source:
            case "callback":
                return event.variables or {}
            case "metadata":
                return metadata() if event.metadata is None else event.metadata
            case "key":
                ids = None if template is None else template.ids(event.object_key)
                return {name: str(ids[name]) for name in _NAMES if name in ids} if ids is not None else {}

    def _explain(self, missing: Sequence[str], template: KeyTemplate | None) -> str:
        looked = {
            "callback": "the callback's variables",
            "metadata": "the object's metadata",
            "key": "the key (there is no key template)" if template is None else f"the key by {template.text}",
        }
        return f"no {' and no '.join(missing)} in {', '.join(looked[source] for source in self.sources)}"


def _integer(name: str, text: str, source: str) -> int:
    if not _INTEGER.fullmatch(text) or int(text) not in _INT64:
        raise Unmapped(f"{name} of its {source} is no signed 64-bit integer: {text!r}")
    return int(text)
