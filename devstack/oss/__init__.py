"""A stand-in for Aliyun OSS, on this machine, for development and tests.

It speaks enough of the protocol that the official SDKs (oss2, alibabacloud-oss-v2) work against it unmodified: objects,
listings, signatures of versions 1 and 4 that are really verified, presigned URLs. Beyond what OSS does, it breaks
requests on demand and counts them, so that tests can say how a client bears a bad network and what it asks for.

    with OssServer(folder, buckets=["pictures"], credentials=Credentials("id", "secret")) as server:
        auth = oss2.AuthV4("id", "secret")
        bucket = oss2.Bucket(auth, server.endpoint, "pictures", region="cn-hangzhou")
        with server.faults.active(Fault(kind="truncate", key="a.jpg")):
            ...

As a process: `python -m devstack.oss --help`.
"""

from devstack.oss.client import FaultClient, FaultClientError
from devstack.oss.config import Clock, Credentials, ServerConfig
from devstack.oss.faults import Fault, Kind, Rule
from devstack.oss.requestlog import RequestCount
from devstack.oss.runner import OssServer
from devstack.oss.server import serve
from devstack.oss.storage import StorageError

__all__ = [
    "Clock",
    "Credentials",
    "Fault",
    "FaultClient",
    "FaultClientError",
    "Kind",
    "OssServer",
    "RequestCount",
    "Rule",
    "ServerConfig",
    "StorageError",
    "serve",
]
