"""HTTP for oss2, on urllib3 alone: requests, which oss2 brings along, costs as much again: ADR 14."""

from collections.abc import Mapping
from typing import Final, Protocol
from urllib.parse import urlencode

import certifi
import urllib3
from urllib3.response import BaseHTTPResponse

# Nothing is asked twice: whether to try again is for the message to decide. Redirections are followed.
_ONCE: Final = urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=5)


class Request(Protocol):
    """What is used of `oss2.http.Request`: signed, and with a URL whose path is quoted."""

    method: str
    url: str
    params: Mapping[str, str]
    headers: Mapping[str, str | None]
    data: bytes | None


class Response:
    """An answer whose body is still to be read, as oss2 takes it.

    Attributes:
        response: urllib3's; whoever has not read it to the end closes it.
        status: of HTTP.
        headers: looked up by names in any case.
        request_id: by which Aliyun finds the request.
    """

    def __init__(self, response: BaseHTTPResponse) -> None:
        self.response = response
        self.status = response.status
        self.headers = response.headers
        self.request_id = response.headers.get("x-oss-request-id", "")

    def read(self, amt: int | None = None) -> bytes:
        """Read the body as it is sent, and give the connection back at its end."""
        return self.response.read(amt, decode_content=False)


class Session:
    """Connections that are kept open, for all threads of a process: what `oss2.Bucket` takes for its session.

    No proxy is asked, for that is not for an internal endpoint, and no `.netrc`, which would override the signature.

    Args:
        connections: that are kept open; more are made where more threads ask at once.
    """

    def __init__(self, connections: int) -> None:
        self._pools = urllib3.PoolManager(
            maxsize=connections, cert_reqs="CERT_REQUIRED", ca_certs=certifi.where(), retries=_ONCE
        )

    def close(self) -> None:
        """Close the connections."""
        self._pools.clear()

    def do_request(self, request: Request, timeout: float) -> Response:
        """Send a request, and follow a redirection.

        Args:
            request: by oss2.
            timeout: seconds to connect, and between two reads.

        Raises:
            urllib3.exceptions.HTTPError: there is no answer.
        """
        url = f"{request.url}?{urlencode(request.params)}" if request.params else request.url
        return Response(
            self._pools.urlopen(
                request.method,
                url,
                body=request.data,
                headers={name: value for name, value in request.headers.items() if value is not None},
                timeout=urllib3.Timeout(connect=timeout, read=timeout),
                preload_content=False,
                decode_content=False,
            )
        )
