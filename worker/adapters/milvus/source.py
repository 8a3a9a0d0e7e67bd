"""A collection of whichever form that names pictures: what a profile can be filled from."""

from collections.abc import Sequence
from typing import Any, Final

from worker.adapters.milvus.connection import MilvusConnection, milvus_errors
from worker.adapters.milvus.paging import MOST, Entity, next_page
from worker.adapters.milvus.rows import consistency
from worker.core.errors import CollectionMissing, Misconfigured
from worker.ports import Picture
from worker.settings import WorkerSettings

_NEEDED: Final = ("id", "meta_id", "company_id", "object_key")


class MilvusSource:
    """The pictures that a collection names.

    It may be of another profile, of other versions of the libraries, or of an earlier release: it is only read, and
    needs no more than the fields `id`, `meta_id`, `company_id` and `object_key`.
    """

    def __init__(self, connection: MilvusConnection, settings: WorkerSettings, name: str) -> None:
        self.name: Final = name
        self._connection = connection
        self._settings = settings
        self._checked = False

    def total(self) -> int:
        """Count its rows.

        Raises:
            CollectionMissing: there is no such collection.
            Misconfigured: it does not name objects.
        """
        with milvus_errors():
            self._ready()
            return self._count("")

    def pictures(self, after: int, limit: int) -> list[Picture]:
        """Read the next pictures in the order of their primary keys: `limit` of them, fewer only at the end."""
        with milvus_errors():
            self._ready()
            found = next_page(self._count, self._read, after=after, limit=limit)
        return [Picture(**{name: one[name] for name in _NEEDED}) for one in found]

    def _ready(self) -> None:
        if self._checked:
            return
        client = self._connection.client()
        if not client.has_collection(self.name):
            raise CollectionMissing(f"there is no collection {self.name}, only {', '.join(client.list_collections())}")
        fields = {field["name"] for field in client.describe_collection(self.name)["fields"]}
        if missing := [name for name in _NEEDED if name not in fields]:
            raise Misconfigured(f"the collection {self.name} names no objects: it has no field {', '.join(missing)}")
        client.load_collection(self.name)
        self._checked = True

    def _count(self, expression: str) -> int:
        return int(self._query(expression, ["count(*)"])[0]["count(*)"])

    def _read(self, expression: str) -> Sequence[Entity]:
        return self._query(expression, list(_NEEDED), limit=MOST)

    def _query(self, expression: str, fields: list[str], **options: Any) -> Sequence[Entity]:
        found: Sequence[Entity] = self._connection.client().query(
            self.name,
            filter=expression,
            output_fields=fields,
            consistency_level=consistency(fresh=True),
            timeout=self._settings.milvus_timeout,
            **options,
        )
        return found
