"""Faults on demand: what to break, which requests it is for, and how often.

A fault waits for requests that match and are signed right. `status` breaks a request before it is carried out. The
other kinds break the body of a GET that succeeded; of them `reset` and `stall` break any other method too, before it is
carried out.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from itertools import count
from typing import Any, Literal, Self, get_args

Kind = Literal["status", "reset", "truncate", "corrupt", "stall", "drip"]

# Breaks any request, and is all that happens to it.
_INSTEAD_OF_ANY = {"status"}
# Breaks requests other than GET as a whole.
_INSTEAD_OF_OTHERS = {"status", "reset", "stall"}

# What OSS calls a status, where the fault does not say.
_CODES = {
    400: "InvalidArgument",
    403: "AccessDenied",
    404: "NoSuchKey",
    409: "ObjectNotAppendable",
    429: "QpsLimitExceeded",
    500: "InternalError",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "GatewayTimeout",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to break.

    Attributes:
        kind: `status` answers with an error; `reset` breaks the connection off with a TCP RST; `truncate` closes it in
            good order before the body is complete; `corrupt` flips all bits of one byte of the body, under headers
            that say nothing of it; `stall` sends nothing more and keeps the connection; `drip` sends the body a little
            at a time.
        method: only this method.
        key: only this object; requests for the bucket itself have the empty key.
        prefix: only keys that start so.
        times: how many requests to break; None for all.
        skip: how many matching requests to let through first.
        status: with kind `status`, the HTTP status.
        code: with kind `status`, the OSS code; the usual one of the status if it is None.
        after: how many bytes of the body come before the break, or the offset of the byte that is flipped; None for
            half of the body.
        chunk: with kind `drip`, how many bytes at a time.
        interval: with kind `drip`, seconds between them.
    """

    kind: Kind
    method: str | None = None
    key: str | None = None
    prefix: str = ""
    times: int | None = 1
    skip: int = 0
    status: int = 503
    code: str | None = None
    after: int | None = None
    chunk: int = 1
    interval: float = 0.1

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"not a kind of fault: {self.kind!r}")
        if not 400 <= self.status <= 599:  # noqa: PLR2004 - the statuses that are errors
            raise ValueError(f"not an error status: {self.status}")
        if self.times is not None and self.times < 1:
            raise ValueError("times must be at least 1, or None")
        if self.skip < 0 or (self.after or 0) < 0 or self.chunk < 1 or self.interval < 0:
            raise ValueError("skip, after and interval must not be negative, and chunk must be at least 1")

    @property
    def error_code(self) -> str:
        """The OSS code for kind `status`."""
        return self.code or _CODES.get(self.status, "InternalError")

    def matches(self, method: str, key: str) -> bool:
        """Whether a request is one of those that the fault is for."""
        return self.method in {None, method} and self.key in {None, key} and key.startswith(self.prefix)

    def cut(self, length: int) -> int:
        """How many bytes of a body of that length come before the break."""
        return min(length // 2 if self.after is None else self.after, length)

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ValueError: a field is unknown, missing or out of its bounds.
        """
        unknown = set(data) - {known.name for known in fields(cls)}
        if unknown or "kind" not in data:
            raise ValueError(f"unknown fields: {sorted(unknown)}" if unknown else "the kind is missing")
        try:
            return cls(**data)
        except TypeError as error:
            raise ValueError(str(error)) from None


@dataclass(frozen=True, slots=True)
class Rule:
    """A fault that a server has been told of.

    Attributes:
        id: names it to the server.
        fault: what it breaks.
        seen: how many requests matched so far, the skipped ones included.
        hits: how many of them it broke.
    """

    id: int
    fault: Fault
    seen: int = 0
    hits: int = 0


class FaultBook:
    """The rules of a server; of those that match a request and are not used up, the first that came wins."""

    def __init__(self) -> None:
        self._rules: dict[int, Rule] = {}
        self._ids = count(1)

    def add(self, fault: Fault) -> Rule:
        """Begin to break requests."""
        rule = Rule(next(self._ids), fault)
        self._rules[rule.id] = rule
        return rule

    def remove(self, rule_id: int) -> bool:
        """End one rule; whether there was one."""
        return self._rules.pop(rule_id, None) is not None

    def clear(self) -> None:
        """End all rules."""
        self._rules.clear()

    def rules(self) -> list[Rule]:
        """The rules with their counts, used-up ones included."""
        return list(self._rules.values())

    def before(self, method: str, key: str) -> Fault | None:
        """The fault that takes the place of a request, if any; it counts as a hit."""
        return self._take(method, key, _INSTEAD_OF_ANY if method == "GET" else _INSTEAD_OF_OTHERS)

    def during(self, method: str, key: str) -> Fault | None:
        """The fault that breaks the body of an answer, if any; it counts as a hit."""
        return self._take(method, key, set(get_args(Kind)) - _INSTEAD_OF_ANY) if method == "GET" else None

    def _take(self, method: str, key: str, kinds: set[str]) -> Fault | None:
        for rule in self.rules():
            fault = rule.fault
            used_up = fault.times is not None and rule.hits >= fault.times
            if used_up or fault.kind not in kinds or not fault.matches(method, key):
                continue
            hit = rule.seen >= fault.skip
            self._rules[rule.id] = Rule(rule.id, fault, rule.seen + 1, rule.hits + hit)
            if hit:
                return fault
        return None
