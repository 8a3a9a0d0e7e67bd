"""One connection to Milvus, and what its errors mean."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import grpc
from pymilvus import MilvusClient, MilvusException
from pymilvus.exceptions import (
    DataNotMatchException,
    DataTypeNotMatchException,
    DataTypeNotSupportException,
    ErrorCode,
    ParamError,
)

from worker.core.errors import Misconfigured, Transient
from worker.settings import WorkerSettings

_CONNECT_SECONDS: Final = 10
_FAIL_FAST_SECONDS: Final = 1

# "auth check failure" of Milvus 2.3 comes as gRPC's UNAUTHENTICATED; 2.5 and later answer with these codes of
# pkg/util/merr (ErrNeedAuthenticate, ErrIncorrectParameterFormat are 1400 and 1401; ErrPrivilegeNotAuthenticated 1402).
_MISCONFIGURED_CODES: Final = frozenset({1400, 1401, 1402})
_MISCONFIGURED_STATUS: Final = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
_UNTRUSTED: Final = "CERTIFICATE_VERIFY_FAILED"  # BoringSSL's, in gRPC's details
# ErrParameterInvalid and ErrParameterTooLarge of pkg/util/merr, and what pymilvus finds before it sends.
_REJECTED_CODES: Final = frozenset({1100, 1102})
_REJECTED_ERRORS: Final = (
    ParamError,
    DataNotMatchException,
    DataTypeNotMatchException,
    DataTypeNotSupportException,
)
# The collection is not what it was, or may not be: ErrPartitionNotFound, and the code of all that has none of its own,
# such as a field that is gone.
_CHANGED_CODES: Final = frozenset({ErrorCode.COLLECTION_NOT_FOUND, 200, (1 << 16) - 1})


class LastFailure:
    """What failed a moment ago. Threads that waited for it meanwhile fail with it, and do not each try for as long."""

    def __init__(self) -> None:
        self._failed: tuple[float, Exception] | None = None

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Try, unless that failed within the last second: then raise the same again."""
        if self._failed is not None and time.monotonic() - self._failed[0] < _FAIL_FAST_SECONDS:
            raise self._failed[1]
        try:
            yield
        except Exception as error:
            self._failed = time.monotonic(), error
            raise
        self._failed = None


class MilvusConnection:
    """The client of one process, which must be made after a fork. It connects when it is first used."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._client: MilvusClient | None = None
        self._failure = LastFailure()

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._client is not None:
                self._client.close()
            self._client = None

    def client(self) -> MilvusClient:
        """The client, connected, which may take 10 s to fail."""
        with self._lock:
            if self._client is None:
                with self._failure.shared():
                    self._client = MilvusClient(
                        self._settings.milvus_uri,
                        token=self._settings.milvus_token,
                        timeout=_CONNECT_SECONDS,
                        dedicated=True,
                        **authority(self._settings.milvus_ca),
                    )
            return self._client


def authority(file: Path | None) -> dict[str, str]:
    """How pymilvus is told of the certificate authority. It calls it the server's certificate, and gives it to gRPC."""
    return {} if file is None else {"server_pem_path": str(file)}


@contextmanager
def milvus_errors() -> Iterator[None]:
    """Turn what pymilvus raises into our own errors."""
    try:
        yield
    except MilvusException as error:
        status, details = _of_grpc(error.__cause__)
        if isinstance(error, ParamError) or {error.code, status} & (_MISCONFIGURED_CODES | _MISCONFIGURED_STATUS):
            raise Misconfigured(f"Milvus refuses: {details or error.message}") from error
        if _UNTRUSTED in details:
            raise Misconfigured(f"Milvus is not trusted, see LOOKALIKE_MILVUS_CA: {details}") from error
        raise Transient(
            ": ".join(filter(None, ("Milvus", error.message, details))) + f" (code {error.code})"
        ) from error
    except grpc.RpcError as error:
        status, details = _of_grpc(error)
        if status in _MISCONFIGURED_STATUS:
            raise Misconfigured(f"Milvus refuses: {status}") from error
        raise Transient(f"Milvus cannot be reached: {status}") from error


def _of_grpc(error: BaseException | None) -> tuple[grpc.StatusCode | None, str]:
    """Status and details of an error of gRPC, which pymilvus leaves unsaid where it fails to connect."""
    if not isinstance(error, grpc.RpcError) or not isinstance(error, grpc.Call):
        return None, ""
    return error.code(), str(error.details())


def is_changed(error: MilvusException) -> bool:
    """Whether the collection may not be what it was."""
    return error.code in _CHANGED_CODES


def is_rejected(error: MilvusException) -> bool:
    """Whether rows are refused for what is in them."""
    return isinstance(error, _REJECTED_ERRORS) or error.code in _REJECTED_CODES
