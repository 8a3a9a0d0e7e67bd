"""Finding out whose pictures the events of a message are of."""

from collections.abc import Mapping, Sequence

from contract import InvalidMessage, LookalikeError, ObjectEvent, Reason, UploadEvent, decode_event
from contract.id_texts import IdName, metadata_ids
from worker.core.errors import ObjectMissing, Unmapped
from worker.core.mapping import Mapper
from worker.core.outcomes import Dead, Outcome, RetryPolicy
from worker.ports import ObjectStore
from worker.services.helpers import Helpers


class Identifying:
    """Decodes events, and finds the ids of those that have none."""

    def __init__(self, objects: ObjectStore, mapper: Mapper, *, helpers: Helpers, policy: RetryPolicy) -> None:
        """Identify pictures.

        Args:
            objects: that are asked for their metadata.
            mapper: finds ids.
            helpers: who ask for several at once.
            policy: what a failure means.
        """
        self._objects = objects
        self._mapper = mapper
        self._helpers = helpers
        self._policy = policy

    def __call__(self, raw_events: Sequence[object], attempt: int) -> list[UploadEvent | Outcome]:
        """Decode events and find their ids.

        Args:
            raw_events: as they came.
            attempt: which try this is, from 1.

        Returns:
            For each event, in their order: with its ids; or how it ended where it has none.
        """
        decoded = [_decode(raw) for raw in raw_events]
        unknown = {n: event for n, event in enumerate(decoded) if isinstance(event, ObjectEvent)}
        if not unknown:
            return [event for event in decoded if not isinstance(event, ObjectEvent)]
        answers = self._helpers.map(lambda event: self._find(event, attempt), list(unknown.values()))
        found = dict(zip(unknown, answers, strict=True))
        return [found[n] if isinstance(event, ObjectEvent) else event for n, event in enumerate(decoded)]

    def _find(self, event: ObjectEvent, attempt: int) -> UploadEvent | Outcome:
        try:
            return self._mapper(event, lambda: self._metadata(event))
        except LookalikeError as error:
            return self._policy.decide(event, error, attempt)

    def _metadata(self, event: ObjectEvent) -> Mapping[IdName, str]:
        try:
            return metadata_ids(self._objects.head(event.object_key).metadata)
        except ObjectMissing:
            if event.when != "removed":
                raise
            raise Unmapped("its ids were in the metadata of an object that is gone") from None


def _decode(raw: object) -> UploadEvent | ObjectEvent | Dead:
    try:
        return decode_event(raw)
    except InvalidMessage as error:
        return Dead(raw, Reason.INVALID, str(error))
