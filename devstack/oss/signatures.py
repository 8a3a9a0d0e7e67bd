"""Verifying signatures: in the Authorization header or in a presigned URL, versions 1 and 4.

`canonical` has the arithmetic; here is what a request must carry, and which error answers what. The time is checked
before the signature, so that a client with a wrong clock hears about its clock. EC numbers name the page of an error,
such as https://www.alibabacloud.com/help/en/oss/support/0002-00000504.
"""

import hmac
import re
from dataclasses import dataclass, replace
from http import HTTPStatus

from devstack.oss import canonical
from devstack.oss.canonical import Scope, Signable, to_bytes
from devstack.oss.config import Clock, Credentials
from devstack.oss.errors import (
    OssError,
    access_denied,
    invalid_access_key_id,
    invalid_argument,
    invalid_security_token,
    not_implemented,
)
from devstack.oss.times import iso_basic, iso_date, parse_signing_date

MAX_SKEW_SECONDS = 15 * 60
MAX_V4_EXPIRES_SECONDS = 7 * 24 * 60 * 60
# Longer numbers are no dates, and Python refuses to read very long ones.
_INTEGER = re.compile(r"[0-9]{1,18}")
_TOKEN_NAMES = ("x-oss-security-token", "security-token")


@dataclass(frozen=True, slots=True)
class Verifier:
    """Says whether a request was signed with the credentials."""

    credentials: Credentials
    region: str
    clock: Clock

    def verify(self, request: Signable) -> None:
        """Find the signature and check it.

        Raises:
            OssError: there is none, or it is not right, or its time is over.
        """
        params = dict(request.query)
        authorization = request.headers.get("authorization", "")
        version = params.get("x-oss-signature-version", "")
        if authorization.startswith(f"{canonical.V4_ALGORITHM} "):
            self._verify_v4_header(request, authorization)
        elif authorization.startswith("OSS "):
            self._verify_v1_header(request, authorization)
        elif version == canonical.V4_ALGORITHM:
            self._verify_v4_url(request, params)
        elif "Signature" in params:
            self._verify_v1_url(request, params)
        elif version == "OSS2" or authorization.startswith("OSS2 "):
            raise not_implemented("signature version 2")
        elif authorization:
            raise invalid_argument("Authorization header is invalid.")
        else:
            raise access_denied("Anonymous access is forbidden for this operation.", ec="0003-00000001")

    def _verify_v1_header(self, request: Signable, authorization: str) -> None:
        access_key_id, _, signature = authorization.removeprefix("OSS ").partition(":")
        self._check_key_id(access_key_id)
        date = request.headers.get("x-oss-date") or request.headers.get("date", "")
        self._check_skew(parse_signing_date(date))
        self._check_token(request)
        self._check_v1(request, date, signature)

    def _verify_v1_url(self, request: Signable, params: dict[str, str]) -> None:
        self._check_key_id(params.get("OSSAccessKeyId", ""))
        expires = params.get("Expires", "")
        if not _INTEGER.fullmatch(expires):
            raise access_denied("Invalid date (should be seconds since epoch).", ec="0002-00000070")
        self._check_expiry(int(expires), ec="0002-00000069")
        self._check_token(request)
        self._check_v1(request, expires, params["Signature"])

    def _check_v1(self, request: Signable, date: str, signature: str) -> None:
        string_to_sign = canonical.v1_string_to_sign(request, date)
        expected = canonical.v1_signature(self.credentials.access_key_secret, string_to_sign)
        if not _same(signature, expected):
            raise self._mismatch(signature, string_to_sign)

    def _verify_v4_header(self, request: Signable, authorization: str) -> None:
        fields = dict(_field(part) for part in authorization.removeprefix(canonical.V4_ALGORITHM).split(","))
        scope = self._check_scope(fields.get("Credential", ""))
        time = parse_signing_date(request.headers.get("x-oss-date") or request.headers.get("date", ""))
        self._check_skew(time)
        self._check_token(request)
        if request.headers.get("x-oss-content-sha256") != canonical.UNSIGNED_PAYLOAD:
            raise invalid_argument("Invalid x-oss-content-sha256 header.", ec="0002-00000214")
        self._check_v4(request, scope, time, fields.get("AdditionalHeaders"), fields.get("Signature", ""))

    def _verify_v4_url(self, request: Signable, params: dict[str, str]) -> None:
        scope = self._check_scope(params.get("x-oss-credential", ""))
        time = parse_signing_date(params.get("x-oss-date", ""))
        expires = params.get("x-oss-expires", "")
        if not _INTEGER.fullmatch(expires) or not 1 <= int(expires) <= MAX_V4_EXPIRES_SECONDS:
            raise invalid_argument("Invalid x-oss-expires in URL.", ec="0002-00000232")
        if time is not None:
            if time > self.clock() + MAX_SKEW_SECONDS:
                raise access_denied("Request is not valid yet.", ec="0002-00000235")
            self._check_expiry(time + int(expires), ec="0002-00000236")
        self._check_token(request)
        unsigned = replace(request, query=[pair for pair in request.query if pair[0] != "x-oss-signature"])
        additional = params.get("x-oss-additional-headers")
        self._check_v4(unsigned, scope, time, additional, params.get("x-oss-signature", ""))

    def _check_v4(
        self, request: Signable, scope: Scope, time: float | None, additional: str | None, signature: str
    ) -> None:
        names = [] if additional is None else additional.lower().split(";")
        if "" in names:
            raise invalid_argument("Invalid AdditionalHeaders.", ec="0002-00000209")
        timestamp = "" if time is None else iso_basic(time)
        if not timestamp or scope.date != timestamp[:8]:
            raise invalid_argument("Invalid signing date in Authorization header.", ec="0002-00000212")
        canonical_request = canonical.v4_canonical_request(request, names)
        string_to_sign = canonical.v4_string_to_sign(timestamp, scope, canonical_request)
        if not _same(signature, canonical.v4_signature(self.credentials.access_key_secret, scope, string_to_sign)):
            raise self._mismatch(signature, string_to_sign, canonical_request)

    def _check_scope(self, credential: str) -> Scope:
        parts = credential.rsplit("/", 4)
        match parts:
            case [access_key_id, date, region, product, canonical.V4_TERMINATOR]:
                self._check_key_id(access_key_id)
            case _:
                raise invalid_argument("Invalid Credential in Authorization header.", ec="0002-00000213")
        if region != self.region:
            raise invalid_argument("Invalid signing region in Authorization header.", ec="0002-00000226")
        if product != "oss":
            raise invalid_argument("Invalid signing product in Authorization header.", ec="0002-00000227")
        return Scope(date, region, product)

    def _check_key_id(self, access_key_id: str) -> None:
        if not _same(access_key_id, self.credentials.access_key_id):
            raise invalid_access_key_id(access_key_id)

    def _check_token(self, request: Signable) -> None:
        # alibabacloud-oss-v2 1.4.1 sends it as the header `security-token` when it signs with V1.
        expected = self.credentials.security_token
        params = dict(request.query)
        tokens = [source[name] for source in (request.headers, params) for name in _TOKEN_NAMES if name in source]
        if expected is not None and not any(_same(token, expected) for token in tokens):
            raise invalid_security_token()

    def _check_skew(self, time: float | None) -> None:
        if time is None:
            raise access_denied("OSS authentication requires a valid Date.", ec="0002-00000505")
        now = self.clock()
        if abs(now - time) > MAX_SKEW_SECONDS:
            raise OssError(
                HTTPStatus.FORBIDDEN,
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
                ec="0002-00000504",
                MaxAllowedSkewMilliseconds=str(MAX_SKEW_SECONDS * 1000),
                RequestTime=iso_date(time),
                ServerTime=iso_date(now),
            )

    def _check_expiry(self, expires: float, *, ec: str) -> None:
        now = self.clock()
        if now > expires:
            raise access_denied("Request has expired.", ec=ec, Expires=iso_date(expires), ServerTime=iso_date(now))

    def _mismatch(self, signature: str, string_to_sign: bytes, canonical_request: bytes = b"") -> OssError:
        details = {
            "OSSAccessKeyId": self.credentials.access_key_id,
            "SignatureProvided": signature,
            "StringToSign": string_to_sign.decode(errors="replace"),
            "StringToSignBytes": string_to_sign.hex(" ").upper(),
        }
        if canonical_request:
            details["CanonicalRequest"] = canonical_request.decode(errors="replace")
        return OssError(
            HTTPStatus.FORBIDDEN,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. "
            "Check your key and signing method.",
            ec="0002-00000040",
            **details,
        )


def _field(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name.strip(), value.strip()


def _same(provided: str, expected: str) -> bool:
    return hmac.compare_digest(to_bytes(provided), to_bytes(expected))
