"""The development stack: real Valkey, real Milvus and an OSS stand-in on loopback, with workers if wanted."""

from devstack.errors import ServiceDied, StackError
from devstack.plan import Workers
from devstack.programs import SERVICES
from devstack.stack import Stack

__all__ = ["SERVICES", "ServiceDied", "Stack", "StackError", "Workers"]
