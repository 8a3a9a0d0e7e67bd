"""The worker's settings, from the environment: `LOOKALIKE_MILVUS_URI`, `LOOKALIKE_OSS_BUCKET` and the rest."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, FilePath, model_validator
from pydantic_settings import NoDecode

from contract import PROFILES, KeyTemplate, Profile, key_template
from contract.decoding import KeyTemplateText
from producer.app import visibility_timeout
from producer.settings import LogSettings
from worker.core.mapping import IdSource, Mapper
from worker.core.pictures import MAX_PIXELS

Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=200)]  # what Milvus takes as a name


def _split(names: object) -> object:
    """The names in `ahash,phash.upright`."""
    return tuple(name.strip() for name in names.split(",")) if isinstance(names, str) else names


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    if not PROFILES.keys() >= set(names):
        raise ValueError(f"names of profiles, separated by commas: there are {', '.join(PROFILES)}")
    if len(set(names)) < len(names):
        raise ValueError("a profile is named twice")
    return names


ProfileNames = Annotated[
    tuple[str, ...], NoDecode, BeforeValidator(_split), Field(min_length=1), AfterValidator(_known)
]


def _distinct(names: tuple[IdSource, ...]) -> tuple[IdSource, ...]:
    if len(set(names)) < len(names):
        raise ValueError("a source is named twice")
    return names


IdSources = Annotated[
    tuple[IdSource, ...], NoDecode, BeforeValidator(_split), Field(min_length=1), AfterValidator(_distinct)
]


class WorkerSettings(LogSettings):
    """Everything that a worker can be told.

    Attributes:
        milvus_uri: address of Milvus.
        milvus_token: `user:password`, or an API key.
        milvus_ca: a file (PEM) with the certificate authority of an `https` Milvus; without it, those that gRPC ships.
        collection: the first part of the collections' names.
        hash: the hash profiles, separated by commas: each picture is hashed by all of them, and a search that names
            none compares by the first. `ahash` is the reference.
        index_type: the index of a collection that is made. BIN_FLAT compares with every row, and is exact.
        index_nlist: clusters of a BIN_IVF_FLAT index.
        search_nprobe: clusters of a BIN_IVF_FLAT index that a search looks into.
        partitions: tenant partitions of a collection that is made; an existing one keeps its own.
        milvus_timeout: seconds for one call of Milvus.
        oss_endpoint: address of OSS, such as `https://oss-cn-hangzhou-internal.aliyuncs.com`.
        oss_bucket: the bucket.
        oss_region: the region that V4 signatures name, such as `cn-hangzhou`.
        oss_path_style: put the bucket into the path. An address of IP numbers or `localhost` does so anyway.
        oss_connections: connections kept open; at least the threads of the pool.
        oss_timeout: seconds to connect, and between two reads.
        object_seconds: seconds for the whole of one object.
        key_template: where in an object's key the ids of its picture stand, for events that have none, such as
            `uploads/{company_id}/{meta_id}/{_}.jpg`.
        ids_from: where such events' ids are looked for, in the order of preference: `callback` (its variables), `key`
            (by the template), `metadata` (the object's, which is asked for unless the event tells it).
        max_image_bytes: larger objects are dead letters.
        max_image_pixels: pictures of more pixels are dead letters.
        fast_hash: `auto` hashes plain JPEGs in C, where that proves to do as Pillow does; `off` leaves all to Pillow.
        decoders: pictures decoded at once in a process; the number of cores unless given.
        pixels_at_once: pixels of all pictures decoded at once in a process, of which a larger one is decoded alone; 32
            million for each decoder unless given.
        bytes_in_flight: bytes of all objects that a process holds to hash them; a larger one is held alone.
        events_at_once: pictures that a process works on at once: threads that have no batch help those that have one.
        decode_seconds: a decode that takes longer hangs: the process notes it, and ends itself.
        batch_seconds: a batch hands back what it has not begun after so many seconds.
        write_seconds: seconds to wait for the rows of a batch to be durable.
        write_rows: rows in one upsert at the most.
        lease_seconds: a batch whose worker gives no sign of life for so long is worked on elsewhere.
        shutdown_seconds: a worker that is told to stop has so long to finish what it has begun, then it hands it back.
        retry_attempts: tries at a transient failure before an event is a dead letter.
        retry_cap_seconds: the longest wait between two tries.
        search_seconds: seconds in which a search tries transient failures again.
        dead_letters_max: cap of the stream of dead letters. When it is full, events stay in the ledger.
        fuse_probe_seconds: a worker whose fuse is blown looks so often whether it is mended.
        fuse_events: the dead share is that of so many events, the last that ended.
        fuse_dead_share: a larger share of dead letters blows the fuse; 1 never does.
        fuse_rest_seconds: then it is tried again after so long, doubled each time it blows again, to at most 600.
    """

    milvus_uri: Annotated[str, Field(pattern=r"^(https?|tcp|unix)://", repr=False)]
    milvus_token: Annotated[str, Field(repr=False)] = ""
    milvus_ca: FilePath | None = None
    collection: Name = "images"
    hash: ProfileNames = ("ahash",)
    index_type: Literal["BIN_FLAT", "BIN_IVF_FLAT"] = "BIN_FLAT"
    index_nlist: Annotated[int, Field(ge=1, le=65536)] = 128
    search_nprobe: Annotated[int, Field(ge=1, le=65536)] = 32
    partitions: Annotated[int, Field(ge=1, le=1024)] = 16
    milvus_timeout: Seconds = 30.0

    oss_endpoint: Annotated[str, Field(min_length=1)]
    oss_bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$")]  # what oss2 takes as a name
    oss_region: Annotated[str, Field(min_length=1)]
    oss_path_style: bool = False
    oss_connections: Count = 32
    oss_timeout: Seconds = 10.0
    object_seconds: Seconds = 60.0

    key_template: KeyTemplateText | None = None
    ids_from: IdSources = ("callback", "key", "metadata")

    max_image_bytes: Count = 50 * 1024 * 1024
    max_image_pixels: Count = MAX_PIXELS
    fast_hash: Literal["auto", "off"] = "auto"
    decoders: Count | None = None
    pixels_at_once: Count | None = None
    bytes_in_flight: Count = 128 * 1024 * 1024
    events_at_once: Count = 8
    decode_seconds: Seconds = 60.0

    batch_seconds: Seconds = 90.0
    write_seconds: Seconds = 60.0
    write_rows: Annotated[int, Field(ge=1, le=16384)] = 4096
    lease_seconds: Annotated[float, Field(ge=1)] = 60.0
    shutdown_seconds: Seconds = 25.0
    retry_attempts: Count = 12
    retry_cap_seconds: Seconds = 120.0
    search_seconds: Seconds = 10.0
    dead_letters_max: Count = 1_000_000

    # An entry of the status is believed for 120 s, and a probe of what does not answer takes up to 70.
    fuse_probe_seconds: Annotated[float, Field(gt=0, le=40)] = 15.0
    fuse_events: Count = 500
    fuse_dead_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    fuse_rest_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0

    @property
    def profiles(self) -> Sequence[Profile]:
        """The hash profiles, the first of which searches compare by unless they name one."""
        return [PROFILES[name] for name in self.hash]

    @property
    def mapper(self) -> Mapper:
        """Finds the ids of events that have none."""
        template: KeyTemplate | None = None if self.key_template is None else key_template(self.key_template)
        return Mapper(self.ids_from, template, self.oss_bucket)

    @model_validator(mode="after")
    def _within_visibility(self) -> Self:
        limit = visibility_timeout()
        longest = self.batch_seconds + self.object_seconds + self.write_seconds
        if longest >= limit:
            raise ValueError(
                f"LOOKALIKE_BATCH_SECONDS + LOOKALIKE_OBJECT_SECONDS + LOOKALIKE_WRITE_SECONDS is {longest:g}, and "
                f"must stay below the visibility timeout of {limit:g}, or batches are delivered twice"
            )
        if self.retry_cap_seconds >= limit / 2:
            raise ValueError(f"LOOKALIKE_RETRY_CAP_SECONDS must stay below half the visibility timeout of {limit:g}")
        return self
