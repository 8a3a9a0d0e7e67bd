"""One collection: made when it is missing, checked before it is used."""

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from pymilvus import DataType, MilvusClient

from contract import Profile
from worker.adapters.milvus.connection import LastFailure, MilvusConnection
from worker.core.errors import CollectionMissing, Misconfigured
from worker.core.provenance import Provenance
from worker.core.schema import METRIC, VECTOR_FIELD, FieldSpec, differences, fields, partition_name
from worker.settings import WorkerSettings


class Collection:
    """The collection of one hash profile: made by whoever first writes to it, and never by a reader.

    It is checked once, and again after it seems to have changed. Threads that need it meanwhile wait.
    """

    def __init__(
        self, connection: MilvusConnection, settings: WorkerSettings, profile: Profile, made: Callable[[], Provenance]
    ) -> None:
        """Use a collection.

        Args:
            connection: to Milvus.
            settings: of the collection, should it be made.
            profile: of its vectors.
            made: says what the vectors of this worker are. It is asked when the collection is first used.
        """
        self.name: Final = f"{settings.collection}_{profile.name}".replace(".", "_")
        self._connection = connection
        self._settings = settings
        self._profile = profile
        self._made = made
        self._lock = threading.Lock()
        self._failure = LastFailure()
        self._partitions: int | None = None

    def forget(self) -> None:
        """Have the next use make sure of it again."""
        self._partitions = None

    def client(self) -> MilvusClient:
        """The client, connected."""
        return self._connection.client()

    def siblings(self) -> list[str]:
        """The names of the collections that are there, of whichever profile."""
        names = self.client().list_collections()
        return sorted(name for name in names if name.startswith(f"{self._settings.collection}_"))

    def ready(self, *, make: bool) -> tuple[MilvusClient, int]:
        """Connect, and make sure of the collection, where that was not done.

        Args:
            make: make it where it is missing.

        Returns:
            The client, and how many tenant partitions rows are routed to: 0 for a collection of somebody else's making
            without any.

        Raises:
            CollectionMissing: it is not there, and was not to be made.
            Misconfigured: it does not fit.
        """
        client = self._connection.client()
        with self._lock:
            if self._partitions is None:
                with self._failure.shared():
                    missing = not client.has_collection(self.name)
                    if missing and make:
                        self._create(client)
                    if make or not missing:
                        self._partitions = self._ensure(client)
            if self._partitions is None:
                raise CollectionMissing(f"there is no collection {self.name}")
            return client, self._partitions

    def _ensure(self, client: MilvusClient) -> int:
        """Check the collection, and complete it where a worker that makes it has not, or was killed meanwhile.

        Several workers may do this at once: each step is harmless when it is done already.
        """
        description = client.describe_collection(self.name)
        differing = differences(fields(self._profile.bits), [_found(field) for field in description["fields"]])
        provenance = Provenance.load(description["description"])
        if provenance is not None:
            differing += provenance.changes(self._made())
            if not differing:
                self._complete(client, provenance.partitions)
        indexes = client.list_indexes(self.name, field_name=VECTOR_FIELD)
        metrics = {client.describe_index(self.name, name).get("metric_type") for name in indexes}
        if metrics != {METRIC}:
            differing.append(f"the index of {VECTOR_FIELD} has the metric {metrics or 'of none'}, not {METRIC}")
        if differing:
            raise Misconfigured(
                f"the collection {self.name} does not fit: {'; '.join(differing)}. To fill one that does, see "
                "`lookalike reindex --help`"
            )
        client.load_collection(self.name)
        if provenance is not None:
            return provenance.partitions
        named = set(client.list_partitions(self.name))
        return next(number for number in range(len(named) + 1) if partition_name(number) not in named)

    def _create(self, client: MilvusClient) -> None:
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False, description=self._made().dump())
        for field in fields(self._profile.bits):
            size = {"BINARY_VECTOR": {"dim": field.size}, "VARCHAR": {"max_length": field.size}}.get(field.type, {})
            schema.add_field(field.name, DataType[field.type], is_primary=field.primary, **size)
        client.create_collection(self.name, schema=schema)

    def _complete(self, client: MilvusClient, partitions: int) -> None:
        named = set(client.list_partitions(self.name))
        for name in (partition_name(number) for number in range(partitions)):
            if name not in named:
                client.create_partition(self.name, name)
        if not client.list_indexes(self.name, field_name=VECTOR_FIELD):
            index = client.prepare_index_params()
            flat = self._settings.index_type == "BIN_FLAT"
            index.add_index(
                VECTOR_FIELD,
                index_type=self._settings.index_type,
                metric_type=METRIC,
                params={} if flat else {"nlist": self._settings.index_nlist},
            )
            client.create_index(self.name, index)


def _found(field: Mapping[str, Any]) -> FieldSpec:
    size = field["params"].get("dim") or field["params"].get("max_length")
    return FieldSpec(
        name=field["name"],
        type=field["type"].name,
        size=None if size is None else int(size),
        primary=field.get("is_primary", False),
        auto_id=field.get("auto_id", False),
    )
