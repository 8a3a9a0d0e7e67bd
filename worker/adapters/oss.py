"""Pictures in Aliyun OSS, read with oss2. The only module that imports it.

What oss2 leaves open is closed here: a body is read against a deadline and a cap, its length and its CRC-64 are
checked, and every error is one of ours. What it does at a price is done otherwise, with the same result: HTTP, and the
checksum (`docs/adr/0014-downloads.md`).
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, Final, Self

import oss2
import urllib3
from fastcrc import crc64
from oss2 import exceptions as oss
from oss2.credentials import Credentials, CredentialsProvider

from producer.secret_files import SecretFileError, value_of
from worker.adapters.transport import Session
from worker.core.errors import Misconfigured, NotReadable, ObjectMissing, TooLarge, Transient
from worker.ports import Download, Head, ListedObject
from worker.settings import WorkerSettings

# The key's id, its secret, and the token of temporary ones (STS).
CREDENTIALS: Final = ("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN")
# As much as glibc takes from memory that it keeps, so that a chunk costs no page faults.
_CHUNK: Final = 64 * 1024

# Codes of "OSS error responses" in Aliyun's API reference. Every 403 is the configuration's fault (the key, the secret,
# the policy, the clock) but that of an archived object. Any other 4xx is this request's own: permanent for the object.
_MISCONFIGURED: Final = frozenset({"InvalidBucketName", "NoSuchBucket"})
_TRANSIENT: Final = frozenset({"RequestTimeout", "Throttling", "DownloadTrafficRateLimitExceeded"})
# A region that the bucket is not in is an InvalidArgument, with a detailed code ("EC") of the class of authentication.
_AUTHENTICATION: Final = "0002-"
_ARCHIVED: Final = "InvalidObjectState"
_FORBIDDEN: Final = 403
_USER_METADATA: Final = "x-oss-meta-"
_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERROR: Final = 500


class OssObjectStore:
    """One bucket, for one process: it must not be used on both sides of a fork."""

    def __init__(self, bucket: oss2.Bucket, session: Session, *, max_bytes: int) -> None:
        self._bucket = bucket
        self._session = session
        self._max_bytes = max_bytes

    @classmethod
    def from_settings(cls, settings: WorkerSettings) -> Self:
        """Open the bucket; nothing connects yet. Credentials are the SDK's own variables, or the files that they name.

        Both are read at every request, so that temporary ones can be changed under a running worker.
        """
        session = Session(settings.oss_connections)
        with _oss_errors():
            bucket = oss2.Bucket(
                oss2.ProviderAuthV4(_Environment()),
                settings.oss_endpoint,
                settings.oss_bucket,
                session=session,
                connect_timeout=settings.oss_timeout,  # the session takes it for reads too
                enable_crc=False,  # oss2 makes a table of its own for each object, before it reads a byte
                region=settings.oss_region,
                is_path_style=settings.oss_path_style,
            )
        return cls(bucket, session, max_bytes=settings.max_image_bytes)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def crc(self, key: str) -> int | None:
        """The CRC-64 that OSS keeps for the object; None for an object older than that feature of OSS."""
        with _oss_errors():
            crc: int | None = self._bucket.head_object(key).server_crc
        return crc

    def head(self, key: str) -> Head:
        """What OSS says of the object, without reading it. It raises as `get` does."""
        with _oss_errors():
            found = self._bucket.head_object(key)
        headers = {name.lower(): value for name, value in found.headers.items()}
        return Head(
            found.server_crc, {name: value for name, value in headers.items() if name.startswith(_USER_METADATA)}
        )

    def objects(self, prefix: str, after: str, limit: int) -> list[ListedObject]:
        """List the next objects. A limit of more than 1,000 is refused by OSS."""
        with _oss_errors():
            page = self._bucket.list_objects_v2(prefix, start_after=after, max_keys=limit)
        return [ListedObject(one.key, one.last_modified * 1000, one.size) for one in page.object_list]

    def get(self, key: str, deadline: float, reserve: Callable[[int], None] | None = None) -> Download:
        """Read an object whole. `reserve` is told its size first, or the cap where OSS does not tell the size.

        Raises:
            TooLarge: more bytes than the cap.
            ObjectMissing: there is no such object.
            NotReadable: OSS refuses this object.
            Transient: the connection or OSS failed, or the bytes are not those that OSS holds.
            Misconfigured: no object can be read.
        """
        with _oss_errors():
            result = self._bucket.get_object(key)
            try:
                body = self._read(result, deadline, reserve)
            finally:
                # After a whole body this gives the connection back to the pool, after half of one it closes it.
                result.resp.response.close()
        crc: int = crc64.xz(body)
        if result.server_crc is not None and crc != result.server_crc:
            raise Transient(f"the body's CRC-64 is {crc}, OSS holds {result.server_crc}")
        return Download(body, crc)

    def check(self, key: str) -> None:
        """Read one byte of an object. A HEAD would not do: it passes where the key that decrypts is refused (KMS)."""
        with _oss_errors():
            self._bucket.get_object(key, byte_range=(0, 0)).resp.response.close()

    def put(self, key: str, body: bytes) -> None:
        """Write an object. Workers only read; the demo and tests fill a bucket."""
        with _oss_errors():
            self._bucket.put_object(key, body)

    def _read(self, result: Any, deadline: float, reserve: Callable[[int], None] | None) -> bytes:
        """Read the body as it is stored. A single `recv` at a time, so that a dripping server meets the deadline."""
        length: int | None = result.content_length
        if length is not None and length > self._max_bytes:
            raise TooLarge(f"{length:,} bytes, {self._max_bytes:,} are admitted")
        if reserve is not None:
            reserve(self._max_bytes if length is None else length)
        raw = result.resp.response
        body = BytesIO()
        while chunk := raw.read1(_CHUNK, decode_content=False):
            body.write(chunk)
            if body.tell() > self._max_bytes:
                raise TooLarge(f"over {self._max_bytes:,} bytes, which are admitted")
            if time.monotonic() > deadline:
                raise Transient(f"no whole object in time: {body.tell():,} of {length or 0:,} bytes")
        if length is not None and body.tell() != length:
            raise Transient(f"the body ended after {body.tell():,} of {length:,} bytes")
        return body.getvalue()


class _Environment(CredentialsProvider):  # type: ignore[misc]  # oss2 is untyped
    """The SDK's own variables, each of which may name a file: `OSS_ACCESS_KEY_SECRET_FILE`."""

    def get_credentials(self) -> Credentials:
        """Read them anew.

        Raises:
            Misconfigured: one is missing, or its file cannot be read.
        """
        try:
            key_id, secret, token = (value_of(name, os.environ) for name in CREDENTIALS)
        except SecretFileError as error:
            raise Misconfigured(str(error)) from None
        if key_id is None or secret is None:
            raise Misconfigured(f"{CREDENTIALS[0]} and {CREDENTIALS[1]} must be set")
        return Credentials(key_id, secret, token or "")


@contextmanager
def _oss_errors() -> Iterator[None]:
    """Turn what oss2 and urllib3 raise into our own errors."""
    try:
        yield
    except oss.ServerError as error:
        raise _server_error(error) from error
    except oss.ClientError as error:
        # oss2 refuses before it asks: no credentials, a bucket name or an endpoint that cannot be.
        raise Misconfigured(f"oss2: {error.body}") from error
    except urllib3.exceptions.MaxRetryError as error:
        raise Transient(f"OSS cannot be reached: {error.reason}") from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Transient(f"OSS broke off: {type(error).__name__}: {error}") from error


def _server_error(error: oss.ServerError) -> Exception:
    said = f"OSS says {error.status} {error.code} {error.message} (request {error.request_id})"
    if error.status >= _SERVER_ERROR or error.status == _TOO_MANY_REQUESTS or error.code in _TRANSIENT:
        return Transient(said)
    if error.status == _FORBIDDEN and error.code != _ARCHIVED:
        return Misconfigured(said)
    if error.code in _MISCONFIGURED or error.ec.startswith(_AUTHENTICATION):
        return Misconfigured(said)
    if isinstance(error, oss.NoSuchKey):
        return ObjectMissing(said)
    return NotReadable(said)
