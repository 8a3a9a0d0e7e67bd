"""Which operation a request is.

What is not in the tables answers 501, rather than something that OSS would not.
"""

from collections.abc import Awaitable, Callable

from devstack.oss import bucket_operations, object_operations
from devstack.oss.calls import Call, Context
from devstack.oss.errors import invalid_object_name, no_such_bucket, not_implemented
from devstack.oss.responses import Answer
from devstack.oss.subresources import SUBRESOURCES

Operation = Callable[[Context, Call], Awaitable[Answer]]

MAX_KEY_BYTES = 1023

# By method and sub-resource.
_ON_OBJECTS: dict[tuple[str, str], Operation] = {
    ("GET", ""): object_operations.get_object,
    ("HEAD", ""): object_operations.head_object,
    ("HEAD", "objectMeta"): object_operations.get_object_meta,
    ("PUT", ""): object_operations.put_object,
    ("DELETE", ""): object_operations.delete_object,
}
_ON_BUCKETS: dict[tuple[str, str], Operation] = {
    ("GET", ""): bucket_operations.list_objects,
    ("GET", "bucketInfo"): bucket_operations.get_bucket_info,
    ("POST", "delete"): bucket_operations.delete_multiple_objects,
}
# Signed parameters that select no operation.
_MODIFIERS = {"security-token", "continuation-token"}


async def perform(context: Context, call: Call) -> Answer:
    """Carry a request out.

    Raises:
        OssError: the operation's error, or there is no such bucket or operation.
    """
    target = call.target
    if not target.bucket:
        raise not_implemented("operations on the service, such as ListBuckets")
    if context.storage.bucket_created(target.bucket) is None:
        raise no_such_bucket(target.bucket)
    subresource = " ".join(sorted(filter(_selects, target.params)))
    operation = (_ON_OBJECTS if target.key else _ON_BUCKETS).get((call.method, subresource))
    if operation is None:
        kind = "object" if target.key else "bucket"
        raise not_implemented(f"{call.method} {subresource}".strip() + f" of a{'n' * (kind == 'object')} {kind}")
    if target.key and not is_valid_key(target.key):
        raise invalid_object_name(target.key)
    return await operation(context, call)


def is_valid_key(key: str) -> bool:
    """Whether OSS takes it: 1 to 1,023 bytes of UTF-8 that start with neither slash nor backslash.

    https://www.alibabacloud.com/help/en/oss/user-guide/object-naming-conventions
    """
    return key[:1] not in ("", "/", "\\") and len(key.encode()) <= MAX_KEY_BYTES


def _selects(name: str) -> bool:
    return name in SUBRESOURCES and name not in _MODIFIERS and not name.startswith("response-")
