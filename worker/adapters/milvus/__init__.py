"""Rows in Milvus, through pymilvus. The only package that imports it."""

from worker.adapters.milvus.connection import MilvusConnection
from worker.adapters.milvus.index import MilvusIndex
from worker.adapters.milvus.profiled import ProfiledIndex
from worker.adapters.milvus.source import MilvusSource

__all__ = ["MilvusConnection", "MilvusIndex", "MilvusSource", "ProfiledIndex"]
