"""Comparing a bucket with a collection: what is missing, changed, orphaned, of nobody, or given up.

The rows are kept in a temporary file, in the order of their objects' keys, and the bucket is listed along them: memory
is constant however many there are. Workers hand out the pages, and look closer where that is needed.
"""

from producer.auditing.asking import Workers
from producer.auditing.audit import Asks, Audit
from producer.auditing.differences import AuditCounts, Difference, DifferenceKind
from producer.auditing.store import NoRoom, Store

__all__ = ["Asks", "Audit", "AuditCounts", "Difference", "DifferenceKind", "NoRoom", "Store", "Workers"]
