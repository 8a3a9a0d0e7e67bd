"""The control API: JSON over plain HTTP, unsigned, for this machine only.

    POST   /_faults       a fault: answers the rule
    GET    /_faults       the rules
    DELETE /_faults       ends all rules
    DELETE /_faults/3     ends one
    GET    /_requests     counts of requests
    DELETE /_requests     forgets them

No bucket can have these names, for an underscore is not in their alphabet. In virtual-hosted style the path is a key,
and nothing is reserved.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any

from devstack.oss.addressing import Target
from devstack.oss.errors import OssError, access_denied, invalid_argument, not_implemented
from devstack.oss.faults import Fault, FaultBook
from devstack.oss.requestlog import RequestLog
from devstack.oss.responses import Answer

FAULTS = "_faults"
REQUESTS = "_requests"


@dataclass(frozen=True, slots=True)
class Control:
    """Serves the control API."""

    faults: FaultBook
    requests: RequestLog

    @staticmethod
    def is_for(target: Target) -> bool:
        """Whether a request is for the control API."""
        return not target.virtual_hosted and target.bucket in {FAULTS, REQUESTS}

    async def answer(self, method: str, target: Target, body: AsyncIterator[bytes], remote: str | None) -> Answer:
        """Carry a request out.

        Args:
            method: upper case.
            target: for which `is_for` holds.
            body: its chunks.
            remote: the client's address.

        Raises:
            OssError: the client is elsewhere, or the request makes no sense.
        """
        if remote is None or not ip_address(remote).is_loopback:
            raise access_denied("The control API is for clients on the same machine.")
        match method, target.bucket, target.key:
            case "POST", "_faults", "":
                return self._add(b"".join([chunk async for chunk in body]))
            case "GET", "_faults", "":
                return _json([asdict(rule) for rule in self.faults.rules()])
            case "DELETE", "_faults", "":
                self.faults.clear()
            case "DELETE", "_faults", rule_id:
                if not (rule_id.isdecimal() and self.faults.remove(int(rule_id))):
                    raise OssError(HTTPStatus.NOT_FOUND, "NoSuchFault", "There is no such rule.")
            case "GET", "_requests", "":
                return _json([asdict(count) for count in self.requests.counts()])
            case "DELETE", "_requests", "":
                self.requests.clear()
            case _:
                raise not_implemented(f"{method} {target.bucket}/{target.key}")
        return Answer(HTTPStatus.NO_CONTENT)

    def _add(self, body: bytes) -> Answer:
        try:
            fault = Fault.from_json(json.loads(body))
        except (ValueError, TypeError) as error:
            raise invalid_argument(f"Not a fault: {error}") from None
        return _json(asdict(self.faults.add(fault)))


def _json(data: Any) -> Answer:
    return Answer(HTTPStatus.OK, {"Content-Type": "application/json"}, json.dumps(data).encode())
