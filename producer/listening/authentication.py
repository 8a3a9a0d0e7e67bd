"""Who may tell us of events: whoever knows a secret, or signs with one."""

import hmac
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final

from contract import LookalikeError

SIGNATURE_HEADER: Final = "x-lookalike-signature"
TOKEN_PARAMETER: Final = "token"  # noqa: S105 - its name, not a token
# As Stripe's webhooks: the clocks of both sides may differ, and what was recorded cannot be sent again for ever.
_TOLERANCE_SECONDS: Final = 300
_SIGNATURE: Final = re.compile(r"t=([0-9]{1,15}),v1=([0-9a-f]{64})", re.ASCII)


class Unauthorized(LookalikeError):
    """The sender has not shown that it may send. The message says why, and holds nothing of what was sent."""


class Secrets:
    """The secrets, one of which a sender has to know.

    How long a comparison takes says nothing of how much of it was right.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = [secret.encode() for secret in secrets]

    def check(self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes, now: float) -> None:
        """Let a request pass that shows a secret, or is signed with one.

        Raises:
            Unauthorized: it does neither, or shows or signs with a wrong one.
        """
        if self.is_signed(headers):
            self.check_signature(headers, body, now)
        else:
            self.check_shown(headers, query)

    @staticmethod
    def is_signed(headers: Mapping[str, str]) -> bool:
        """Whether a request has to be read before it can be believed."""
        return SIGNATURE_HEADER in headers

    def check_shown(self, headers: Mapping[str, str], query: Mapping[str, str]) -> None:
        """Let a request pass that shows a secret.

        In `Authorization: Bearer SECRET`, or in the query, `?token=SECRET`, for senders that cannot set headers.

        Raises:
            Unauthorized: it shows none, or a wrong one.
        """
        if TOKEN_PARAMETER in query:
            self.check_token(query)
            return
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthorized("no secret")
        self._check_secret(token.strip())

    def check_signature(self, headers: Mapping[str, str], body: bytes, now: float) -> None:
        """Let a request pass that is signed.

        By `X-Lookalike-Signature: t=TIME,v1=HEX`, the HMAC-SHA256 of `TIME.BODY` under the secret, TIME in seconds
        since 1970 and not more than 5 minutes from now.

        Raises:
            Unauthorized: the signature is wrong, or old.
        """
        found = _SIGNATURE.fullmatch(headers[SIGNATURE_HEADER])
        if found is None:
            raise Unauthorized(f"{SIGNATURE_HEADER} is not t=TIME,v1=HEX")
        time, given = found.groups()
        if abs(now - int(time)) > _TOLERANCE_SECONDS:
            raise Unauthorized("the signature's time is not now")
        if not any(hmac.compare_digest(given, sign(secret, int(time), body)) for secret in self._secrets):
            raise Unauthorized("a wrong signature")

    def check_token(self, query: Mapping[str, str]) -> None:
        """Let a request pass that has a secret in its query, as a callback's address may.

        Raises:
            Unauthorized: it has none, or a wrong one.
        """
        if TOKEN_PARAMETER not in query:
            raise Unauthorized("no secret in the address")
        self._check_secret(query[TOKEN_PARAMETER])

    def _check_secret(self, shown: str) -> None:
        given = shown.encode("utf-8", "replace")
        if not any(hmac.compare_digest(given, secret) for secret in self._secrets):
            raise Unauthorized("a wrong secret")


def sign(secret: bytes, time: int, body: bytes) -> str:
    """The HMAC-SHA256 of `TIME.BODY`, as hexadecimal digits."""
    return hmac.new(secret, f"{time}.".encode() + body, sha256).hexdigest()
