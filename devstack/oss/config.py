"""What a server is started with."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from devstack.oss.addressing import default_domains

# Seconds since 1970, as `time.time` gives them.
Clock = Callable[[], float]

# https://www.alibabacloud.com/help/en/oss/user-guide/bucket-naming-conventions
_BUCKET_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,61})[a-z0-9]")


@dataclass(frozen=True, slots=True)
class Credentials:
    """The one key pair that the server accepts.

    With a security token they are temporary credentials, and each request must bring that token. Without one, any token
    is tolerated.
    """

    access_key_id: str
    access_key_secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.access_key_id or not self.access_key_secret:
            raise ValueError("the access key id and the access key secret must not be empty")


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Everything that the server needs to know.

    Attributes:
        data_dir: the folder that keeps the objects; made if it is missing.
        buckets: names of the buckets that exist.
        credentials: whose signatures are accepted.
        region: V4 signatures must be for this one.
        host: address to listen on.
        port: 0 chooses a free one.
        clock: what time it is, for signatures and modification times.
        domains: domains beside those of OSS and `localhost` under which `bucket.domain` addresses a bucket.
    """

    data_dir: Path
    buckets: tuple[str, ...]
    credentials: Credentials
    region: str = "cn-hangzhou"
    host: str = "127.0.0.1"
    port: int = 0
    clock: Clock = time.time
    domains: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.buckets:
            raise ValueError("at least one bucket is needed")
        for bucket in self.buckets:
            if not _BUCKET_NAME.fullmatch(bucket):
                raise ValueError(f"not a bucket name: {bucket!r} (3 to 63 of a-z, 0-9 and hyphens)")

    @property
    def all_domains(self) -> tuple[str, ...]:
        """The domains for virtual-hosted addressing."""
        return (*default_domains(self.region), *(domain.lower() for domain in self.domains))
