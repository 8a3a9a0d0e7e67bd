"""A client for the control API, for tests: it breaks things, and says what was asked for.

with faults.active(Fault(kind="truncate", key="a.jpg", times=1)) as rule:
    ...
assert faults.count("GET", "a.jpg") == 2
"""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from devstack.oss.control import FAULTS, REQUESTS
from devstack.oss.faults import Fault, Rule
from devstack.oss.requestlog import RequestCount


class FaultClientError(Exception):
    """The server refused."""


class FaultClient:
    """Talks to the control API of one server. Holds no connection, and may be shared between threads.

    Args:
        endpoint: the server's, such as `http://127.0.0.1:9000`.
        timeout: seconds to wait for an answer.
    """

    def __init__(self, endpoint: str, timeout: float = 10.0) -> None:
        self._address = urlsplit(endpoint).netloc
        self._timeout = timeout

    def add(self, fault: Fault) -> Rule:
        """Begin to break requests, until the rule is removed or used up."""
        return _rule(self._request("POST", FAULTS, fault.to_json()))

    def remove(self, rule: Rule) -> None:
        """End a rule."""
        self._request("DELETE", f"{FAULTS}/{rule.id}")

    def clear(self) -> None:
        """End all rules."""
        self._request("DELETE", FAULTS)

    def rules(self) -> list[Rule]:
        """The rules with their counts, used-up ones included."""
        return [_rule(data) for data in self._request("GET", FAULTS)]

    def hits(self, rule: Rule) -> int:
        """How many requests a rule has broken by now."""
        return next((known.hits for known in self.rules() if known.id == rule.id), 0)

    @contextmanager
    def active(self, *faults: Fault) -> Iterator[Rule]:
        """Break requests inside the context; the value is the rule of the first fault."""
        rules = [self.add(fault) for fault in faults]
        try:
            yield rules[0]
        finally:
            for rule in rules:
                self.remove(rule)

    def requests(self) -> list[RequestCount]:
        """The requests that came, by method, bucket and key."""
        return [RequestCount(**data) for data in self._request("GET", REQUESTS)]

    def count(self, method: str, key: str | None = None) -> int:
        """How many requests with that method came: for one key, or (with None) for any."""
        return sum(
            request.count for request in self.requests() if request.method == method and key in {None, request.key}
        )

    def forget_requests(self) -> None:
        """Count from zero again."""
        self._request("DELETE", REQUESTS)

    def _request(self, method: str, path: str, data: dict[str, Any] | None = None) -> Any:
        body = None if data is None else json.dumps(data)
        with closing(HTTPConnection(self._address, timeout=self._timeout)) as connection:
            connection.request(method, f"/{path}", body)
            response = connection.getresponse()
            text = response.read()
        if response.status not in {HTTPStatus.OK, HTTPStatus.NO_CONTENT}:
            raise FaultClientError(f"{method} /{path}: {response.status} {text.decode(errors='replace')}")
        return json.loads(text) if text else None


def _rule(data: dict[str, Any]) -> Rule:
    return Rule(data["id"], Fault.from_json(data["fault"]), data["seen"], data["hits"])
