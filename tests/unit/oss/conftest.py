"""What the unit tests of the stand-in for OSS share."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import oss2
import pytest
import requests
from alibabacloud_oss_v2.credentials import Credentials
from alibabacloud_oss_v2.types import CaseInsensitiveDict, HttpRequest, SigningContext

from devstack.oss.addressing import default_domains, parse_target
from devstack.oss.canonical import Signable

REGION = "cn-hangzhou"
# When alibabacloud-oss-v2 signs; oss2 takes the time from the machine.
NOW = datetime.fromtimestamp(1_702_743_657, UTC)


class Recorder:
    """An oss2 session that keeps the request instead of sending it."""

    def __init__(self) -> None:
        self.requests: list[Any] = []

    def do_request(self, request: Any, timeout: Any) -> None:
        """Keep a request."""
        self.requests.append((request, timeout))
        raise ConnectionRefusedError


class Wire:
    """Takes requests as a client library hands them to `requests`, and reads them as the server would."""

    def read(self, method: str, url: str, headers: Mapping[str, str | None], params: Any = None) -> Signable:
        """The request after all that `requests` and urllib3 do to a URL."""
        present = {name: value for name, value in headers.items() if value is not None}
        prepared = requests.Session().prepare_request(requests.Request(method, url, present, params=params))
        host = (prepared.url or "").split("/")[2]
        target = parse_target(prepared.path_url, host, default_domains(REGION))
        lower = {name.lower(): _text(value) for name, value in prepared.headers.items()}
        return Signable(method, target.bucket, target.key, target.query, lower)

    def from_oss2(self, auth: Any, endpoint: str, call: Callable[[Any], Any]) -> Signable:
        """What oss2 sends for a call on a bucket."""
        recorder = Recorder()
        with pytest.raises(ConnectionRefusedError):
            call(oss2.Bucket(auth, endpoint, "pictures", region=REGION, session=recorder))
        request, _ = recorder.requests[0]
        return self.read(request.method, request.url, request.headers, request.params)

    def from_oss_v2(
        self, signer: Any, key: str, query: str = "", *, by_url: bool = False, additional: set[str] | None = None
    ) -> Signable:
        """What alibabacloud-oss-v2 sends to get an object, signed at `NOW` and, by URL, for a minute."""
        url = "http://127.0.0.1:9000/pictures/" + quote(key) + query
        request = HttpRequest("GET", url, headers=CaseInsensitiveDict({"range": "bytes=0-1", "x-oss-meta-a": "b"}))
        context = SigningContext(
            product="oss",
            region=REGION,
            bucket="pictures",
            key=key,
            request=request,
            credentials=Credentials("ak", "sk"),
            signing_time=NOW,
            additional_headers=additional,
        )
        context.auth_method_query = by_url
        context.expiration_time = NOW + timedelta(seconds=60)
        signer.sign(context)
        return self.read("GET", request.url, request.headers)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


@pytest.fixture(scope="session")
def wire() -> Wire:
    """A way from a client library to the server's view, without a network."""
    return Wire()
