"""What all that a worker does is built of: its connections, one set for each process."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Final

from contract import InvalidMessage
from producer.ledger import Ledger
from producer.publisher import Publisher
from worker.adapters.jobs import RedisJobs
from worker.adapters.milvus import MilvusConnection, MilvusIndex, ProfiledIndex
from worker.adapters.oss import OssObjectStore
from worker.settings import WorkerSettings

_CLOSED: Final = ("objects", "milvus", "ledger")


class Parts:
    """Builds each part when it is first used, which is after the fork in a pool of processes.

    Neither oss2's connections nor gRPC's survive a fork, so they belong to the process that made them.
    """

    def __init__(self, settings: WorkerSettings, make_publisher: Callable[[Ledger], Publisher]) -> None:
        self.settings = settings
        self._make_publisher = make_publisher

    def close(self) -> None:
        """Close every connection that was opened."""
        for name in _CLOSED:
            if name in self.__dict__:
                self.__dict__.pop(name).close()

    @cached_property
    def objects(self) -> OssObjectStore:
        """The bucket."""
        return OssObjectStore.from_settings(self.settings)

    @cached_property
    def milvus(self) -> MilvusConnection:
        """The connection to Milvus."""
        return MilvusConnection(self.settings)

    @cached_property
    def indexes(self) -> Mapping[str, MilvusIndex]:
        """The collection of each profile, by the profile's name."""
        return {profile.name: MilvusIndex(self.milvus, self.settings, profile) for profile in self.settings.profiles}

    @cached_property
    def index(self) -> ProfiledIndex:
        """The collections of all profiles, as one."""
        return ProfiledIndex(list(self.indexes.values()))

    def index_of(self, name: str | None) -> MilvusIndex:
        """The collection of a profile; of the first one where none is named.

        Raises:
            InvalidMessage: this worker does not serve the profile.
        """
        served = self.settings.hash
        if (name or served[0]) not in self.indexes:
            raise InvalidMessage(f"hash: the workers serve {', '.join(served)} (LOOKALIKE_HASH), not {name}")
        return self.indexes[name or served[0]]

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger."""
        return Ledger.from_url(
            self.settings.ledger_url,
            sentinel_master=self.settings.sentinel_master,
            dead_letters_max=self.settings.dead_letters_max,
            overdue_seconds=self.settings.overdue_seconds,
        )

    @cached_property
    def publisher(self) -> Publisher:
        """Publishes retries, and what was lost."""
        return self._make_publisher(self.ledger)

    @cached_property
    def jobs(self) -> RedisJobs:
        """The checkpoints of long jobs."""
        return RedisJobs(self.ledger.connection)
