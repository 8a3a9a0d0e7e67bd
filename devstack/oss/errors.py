"""The errors that OSS answers with: HTTP status, code, message, and the elements that OSS adds to some of them.

Codes and statuses are those of https://www.alibabacloud.com/help/en/oss/support/http-status-code-400 and its sisters;
the page that explains one error is named after its EC, such as .../oss/support/0002-00000504.
"""

from http import HTTPStatus


class OssError(Exception):
    """An answer of the error kind.

    Args:
        status: HTTP status.
        code: what SDKs dispatch on, such as `NoSuchKey`.
        message: for people.
        ec: the number of the page that explains the error; empty where OSS documents none.
        details: further elements of the XML document, in their order.
    """

    def __init__(self, status: int, code: str, message: str, *, ec: str = "", **details: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = int(status)
        self.code = code
        self.message = message
        self.ec = ec
        self.details = details


def no_such_bucket(bucket: str) -> OssError:
    """The bucket is not one of those that this server was started with."""
    return OssError(
        HTTPStatus.NOT_FOUND,
        "NoSuchBucket",
        "The specified bucket does not exist.",
        ec="0015-00000101",
        BucketName=bucket,
    )


def no_such_key(key: str) -> OssError:
    """The bucket has no such object."""
    return OssError(HTTPStatus.NOT_FOUND, "NoSuchKey", "The specified key does not exist.", ec="0026-00000001", Key=key)


def access_denied(message: str, *, ec: str = "", **details: str) -> OssError:
    """The request carries no signature, or one whose time is over."""
    return OssError(HTTPStatus.FORBIDDEN, "AccessDenied", message, ec=ec, **details)


def invalid_access_key_id(access_key_id: str) -> OssError:
    """Nobody has that access key id."""
    return OssError(
        HTTPStatus.FORBIDDEN,
        "InvalidAccessKeyId",
        "The OSS Access Key Id you provided does not exist in our records.",
        ec="0002-00000902",
        OSSAccessKeyId=access_key_id,
    )


def invalid_security_token() -> OssError:
    """The token of temporary credentials is not the right one."""
    return OssError(HTTPStatus.FORBIDDEN, "InvalidSecurityToken", "The security token you provided is invalid.")


def invalid_argument(message: str, *, ec: str = "", **details: str) -> OssError:
    """A parameter or header has a value that it cannot have."""
    return OssError(HTTPStatus.BAD_REQUEST, "InvalidArgument", message, ec=ec, **details)


def invalid_object_name(key: str) -> OssError:
    """The key is empty, longer than 1,023 bytes, not UTF-8, or starts with a slash or a backslash."""
    return OssError(HTTPStatus.BAD_REQUEST, "InvalidObjectName", "The specified object is not valid.", ObjectName=key)


def invalid_digest(content_md5: str) -> OssError:
    """Content-MD5 is malformed, or is not the digest of the body that came."""
    return OssError(
        HTTPStatus.BAD_REQUEST,
        "InvalidDigest",
        "The Content-MD5 you specified was invalid.",
        **{"Content-MD5": content_md5},
    )


def malformed_xml() -> OssError:
    """The body is not the XML document that the operation takes."""
    return OssError(
        HTTPStatus.BAD_REQUEST,
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema.",
    )


def invalid_range(header: str, size: int) -> OssError:
    """No byte of the range exists; only with `x-oss-range-behavior: standard`."""
    return OssError(
        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
        "InvalidRange",
        "The requested range cannot be satisfied",
        ActualObjectSize=str(size),
        RangeRequested=header,
    )


def precondition_failed(condition: str) -> OssError:
    """If-Match or If-Unmodified-Since does not hold."""
    return OssError(
        HTTPStatus.PRECONDITION_FAILED,
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold.",
        Condition=condition,
    )


def file_already_exists(key: str) -> OssError:
    """The object exists, and the request forbids to overwrite it."""
    return OssError(
        HTTPStatus.CONFLICT,
        "FileAlreadyExists",
        "The object you specified already exists and can not be overwritten.",
        Key=key,
    )


def not_implemented(what: str) -> OssError:
    """OSS may know the operation; this stand-in does not."""
    return OssError(
        HTTPStatus.NOT_IMPLEMENTED, "NotImplemented", f"The stand-in for OSS does not implement this: {what}."
    )


def internal_error() -> OssError:
    """A bug in this server; the log has the traceback."""
    return OssError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "InternalError",
        "We encountered an internal error. Please try again.",
    )
