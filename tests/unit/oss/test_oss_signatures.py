"""Verifying signatures: those of two independent signers, and those that must not pass."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import oss2
import pytest
from alibabacloud_oss_v2.signer import SignerV1, SignerV4
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from devstack.oss.canonical import Signable
from devstack.oss.config import Credentials
from devstack.oss.errors import OssError
from devstack.oss.signatures import Verifier

NOW = 1_702_743_657.0
CREDENTIALS = Credentials("ak", "sk")
PATHS = st.sampled_from(["http://127.0.0.1:9000", "http://oss-cn-hangzhou.aliyuncs.com"])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def _is_key(text: str) -> bool:
    # OSS takes no leading slash or backslash, oss2 no blank key, and (with V1) none that starts with a question mark.
    # "." and ".." alone are resolved by urllib3, before anybody could sign or send them.
    return bool(text.strip()) and text[0] not in "/\\?" and text not in {".", ".."}


KEYS = TEXT.filter(_is_key)
METADATA = st.dictionaries(
    st.from_regex(r"x-oss-meta-[a-z]{1,5}", fullmatch=True), st.from_regex(r"[!-~]([ -~]{0,10}[!-~])?", fullmatch=True)
)


def verifier(now: float | None = None, credentials: Credentials = CREDENTIALS, region: str = "cn-hangzhou") -> Verifier:
    """A verifier, by default with a clock that shows the right time."""
    return Verifier(credentials, region, lambda: datetime.now(UTC).timestamp() if now is None else now)


def code_of(request: Signable, verifying: Verifier) -> str:
    """The code of the error that refuses a request, or an empty string."""
    try:
        verifying.verify(request)
    except OssError as error:
        return error.code
    return ""


@given(key=KEYS, metadata=METADATA, endpoint=PATHS, version=st.sampled_from([oss2.Auth, oss2.AuthV4]))
@settings(deadline=None)
def test_oss2_can_put_any_key(wire: Any, key: str, metadata: dict[str, str], endpoint: str, version: Any) -> None:
    """Any key with any metadata, signed by oss2 with either version, in either style of addressing, passes."""
    request = wire.from_oss2(
        version("ak", "sk"), endpoint, lambda bucket: bucket.put_object(key, b"", headers=dict(metadata))
    )
    assert (request.bucket, request.key) == ("pictures", key)
    assert code_of(request, verifier()) == ""


@given(words=st.tuples(TEXT, TEXT, TEXT), endpoint=PATHS, version=st.sampled_from([oss2.Auth, oss2.AuthV4]))
@settings(deadline=None)
def test_oss2_can_list_with_any_parameters(wire: Any, words: tuple[str, str, str], endpoint: str, version: Any) -> None:
    """Parameters, blank ones included, that oss2 signs with either version pass."""
    prefix, delimiter, token = words
    request = wire.from_oss2(
        version("ak", "sk"),
        endpoint,
        lambda bucket: bucket.list_objects_v2(prefix, delimiter, continuation_token=token),
    )
    assert dict(request.query)["prefix"] == prefix
    assert code_of(request, verifier()) == ""


@given(key=KEYS, safe=st.booleans(), version=st.sampled_from([oss2.Auth, oss2.AuthV4]))
@settings(deadline=None)
def test_urls_that_oss2_presigned_pass(wire: Any, key: str, *, safe: bool, version: Any) -> None:
    """A presigned URL passes, whether the slashes of its key are escaped or not."""
    assume(not safe or not {".", ".."} & set(key.split("/")))
    bucket = oss2.Bucket(version("ak", "sk"), "http://127.0.0.1:9000", "pictures", region="cn-hangzhou")
    url = bucket.sign_url("GET", key, 60, params={"response-content-type": "text/plain"}, slash_safe=safe)
    assert code_of(wire.read("GET", url, {}), verifier()) == ""


@given(key=KEYS, by_url=st.booleans(), signer=st.sampled_from([SignerV1(), SignerV4()]))
@settings(deadline=None)
def test_requests_that_alibabacloud_oss_v2_signed_pass(wire: Any, key: str, *, by_url: bool, signer: Any) -> None:
    """The second, independent signer agrees, for headers and presigned URLs of both versions."""
    assume(not {".", ".."} & set(key.split("/")))
    request = wire.from_oss_v2(signer, key, "?response-expires=a%20b&delimiter=", by_url=by_url)
    assert code_of(request, verifier(NOW)) == ""


@pytest.mark.parametrize("by_url", [False, True])
def test_additional_headers_are_covered(wire: Any, *, by_url: bool) -> None:
    """A header that V4 signs in addition may not change on the way."""
    request = wire.from_oss_v2(SignerV4(), "a.jpg", by_url=by_url, additional={"Range"})
    assert code_of(request, verifier(NOW)) == ""
    changed = replace(request, headers={**request.headers, "range": "bytes=0-2"})
    assert code_of(changed, verifier(NOW)) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("by_url", [False, True])
@pytest.mark.parametrize("signer", [SignerV1(), SignerV4()])
@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"},
        {"bucket": "others"},
        {"key": "b.jpg"},
        {"query": (("uploads", ""),)},
        {"headers": {"x-oss-meta-a": "c"}},
        {"headers": {"content-type": "text/html"}},
    ],
    ids=str,
)
def test_no_signed_part_may_change(wire: Any, signer: Any, change: dict[str, Any], *, by_url: bool) -> None:
    """Method, bucket, key, parameters and signed headers are what they were when the client signed."""
    request = wire.from_oss_v2(signer, "a.jpg", by_url=by_url)
    if "headers" in change:
        change = {"headers": {**request.headers, **change["headers"]}}
    if "query" in change:
        change = {"query": (*request.query, *change["query"])}
    assert code_of(replace(request, **change), verifier(NOW)) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("by_url", [False, True])
@pytest.mark.parametrize("signer", [SignerV1(), SignerV4()])
def test_other_credentials_do_not_pass(wire: Any, signer: Any, *, by_url: bool) -> None:
    """A wrong secret is a wrong signature; an unknown key id is its own error."""
    request = wire.from_oss_v2(signer, "a.jpg", by_url=by_url)
    assert code_of(request, verifier(NOW, Credentials("ak", "other"))) == "SignatureDoesNotMatch"
    assert code_of(request, verifier(NOW, Credentials("other", "sk"))) == "InvalidAccessKeyId"


@pytest.mark.parametrize("signer", [SignerV1(), SignerV4()])
@pytest.mark.parametrize(
    ("skew", "code"), [(-901, "RequestTimeTooSkewed"), (-900, ""), (900, ""), (901, "RequestTimeTooSkewed")]
)
def test_a_clock_may_be_a_quarter_of_an_hour_off(wire: Any, signer: Any, skew: int, code: str) -> None:
    """Up to 15 minutes in either direction pass, a second more does not."""
    assert code_of(wire.from_oss_v2(signer, "a.jpg"), verifier(NOW + skew)) == code


def test_a_clock_that_is_off_hears_both_times(wire: Any) -> None:
    """The error says what time the request had and what time it is."""
    with pytest.raises(OssError) as caught:
        verifier(NOW + 3600).verify(wire.from_oss_v2(SignerV4(), "a.jpg"))
    assert caught.value.details == {
        "MaxAllowedSkewMilliseconds": "900000",
        "RequestTime": "2023-12-16T16:20:57.000Z",
        "ServerTime": "2023-12-16T17:20:57.000Z",
    }


@pytest.mark.parametrize("signer", [SignerV1(), SignerV4()])
def test_a_url_expires(wire: Any, signer: Any) -> None:
    """A presigned URL passes up to its last second, and answers 403 AccessDenied after it."""
    request = wire.from_oss_v2(signer, "a.jpg", by_url=True)
    assert code_of(request, verifier(NOW + 60)) == ""
    assert code_of(request, verifier(NOW + 61)) == "AccessDenied"


def test_a_v4_url_is_not_valid_before_its_time(wire: Any) -> None:
    """A V4 URL from a clock that is more than 15 minutes ahead does not pass yet."""
    request = wire.from_oss_v2(SignerV4(), "a.jpg", by_url=True)
    assert code_of(request, verifier(NOW - 900)) == ""
    assert code_of(request, verifier(NOW - 901)) == "AccessDenied"


def test_a_mismatch_shows_what_the_server_signed(wire: Any) -> None:
    """The error carries the string to sign and the canonical request, and never the secret or the right signature."""
    request = wire.from_oss_v2(SignerV4(), "a.jpg")
    with pytest.raises(OssError) as caught:
        verifier(NOW, Credentials("ak", "a-very-secret-secret")).verify(request)
    details = caught.value.details
    assert details["OSSAccessKeyId"] == "ak"
    assert details["StringToSign"].startswith("OSS4-HMAC-SHA256\n20231216T162057Z\n20231216/cn-hangzhou/oss/")
    assert bytes.fromhex(details["StringToSignBytes"]).decode() == details["StringToSign"]
    assert details["CanonicalRequest"].startswith("GET\n/pictures/a.jpg\n")
    assert details["SignatureProvided"] in request.headers["authorization"]
    assert "a-very-secret-secret" not in str(details)


def test_the_region_is_part_of_the_signature(wire: Any) -> None:
    """A client with another region gets the error that OSS has for it."""
    assert code_of(wire.from_oss_v2(SignerV4(), "a.jpg"), verifier(NOW, region="cn-beijing")) == "InvalidArgument"


@pytest.mark.parametrize(
    ("token", "code"), [("token", ""), ("other", "InvalidSecurityToken"), (None, "InvalidSecurityToken")]
)
@pytest.mark.parametrize("version", ["v1", "v4"])
def test_temporary_credentials_need_their_token(wire: Any, version: str, token: str | None, code: str) -> None:
    """With a token configured, requests and URLs must bring it, with either version."""
    provider = oss2.credentials.StaticCredentialsProvider("ak", "sk", token)
    auth = oss2.ProviderAuth(provider) if version == "v1" else oss2.ProviderAuthV4(provider)
    verifying = verifier(credentials=Credentials("ak", "sk", "token"))
    endpoint = "http://127.0.0.1:9000"
    by_header = wire.from_oss2(auth, endpoint, lambda bucket: bucket.get_object("a.jpg"))
    assert code_of(by_header, verifying) == code
    url = oss2.Bucket(auth, endpoint, "pictures", region="cn-hangzhou").sign_url("GET", "a.jpg", 60)
    assert code_of(wire.read("GET", url, {}), verifying) == code


def test_a_token_that_nobody_asked_for_is_tolerated(wire: Any) -> None:
    """Without a token configured, a client that sends one passes."""
    auth = oss2.StsAuth("ak", "sk", "token", "v4")
    request = wire.from_oss2(auth, "http://127.0.0.1:9000", lambda bucket: bucket.get_object("a.jpg"))
    assert code_of(request, verifier()) == ""


@pytest.mark.parametrize(
    ("headers", "query", "code"),
    [
        ({}, {}, "AccessDenied"),
        ({"authorization": "Basic YTpi"}, {}, "InvalidArgument"),
        ({"authorization": "OSS2 AccessKeyId:ak,Signature:x"}, {}, "NotImplemented"),
        ({}, {"x-oss-signature-version": "OSS2"}, "NotImplemented"),
        ({"authorization": "OSS ak:x"}, {}, "AccessDenied"),
        ({"authorization": "OSS ak:x", "date": "yesterday"}, {}, "AccessDenied"),
        ({"authorization": "OSS"}, {}, "InvalidArgument"),
        ({"authorization": "OSS4-HMAC-SHA256 "}, {}, "InvalidArgument"),
        ({"authorization": "OSS4-HMAC-SHA256 Credential=ak/20231216/cn-hangzhou/oss/other"}, {}, "InvalidArgument"),
        (
            {"authorization": "OSS4-HMAC-SHA256 Credential=ak/20231216/cn-hangzhou/ecs/aliyun_v4_request"},
            {},
            "InvalidArgument",
        ),
        ({}, {"Signature": "x", "OSSAccessKeyId": "ak"}, "AccessDenied"),
        ({}, {"Signature": "x", "OSSAccessKeyId": "ak", "Expires": "soon"}, "AccessDenied"),
        ({}, {"Signature": "x", "OSSAccessKeyId": "ak", "Expires": "9" * 18}, "SignatureDoesNotMatch"),
        ({}, {"Signature": "x", "OSSAccessKeyId": "ak", "Expires": "9" * 5000}, "AccessDenied"),
        ({}, {"x-oss-signature-version": "OSS4-HMAC-SHA256"}, "InvalidArgument"),
    ],
    ids=str,
)
def test_what_is_no_signature_has_its_error(headers: dict[str, str], query: dict[str, str], code: str) -> None:
    """A missing, malformed or unsupported signature is refused with OSS's code, never with a crash."""
    request = Signable("GET", "pictures", "a.jpg", tuple(query.items()), headers)
    assert code_of(request, verifier(NOW)) == code


@pytest.mark.parametrize(
    "change",
    [
        {"x-oss-date": "20231215T162057Z"},
        {"x-oss-content-sha256": "0" * 64},
        {"x-oss-content-sha256": None},
        {"additional": ""},
        {"additional": "host;"},
    ],
    ids=str,
)
def test_a_v4_header_must_be_well_formed(wire: Any, change: dict[str, str | None]) -> None:
    """A date other than the scope's, a payload that is not unsigned and empty additional names are refused."""
    request = wire.from_oss_v2(SignerV4(), "a.jpg")
    headers: dict[str, str | None] = {**request.headers, **change}
    if "additional" in change:
        headers["authorization"] = f"{request.headers['authorization']},AdditionalHeaders={change['additional']}"
    present = {name: value for name, value in headers.items() if value is not None}
    now = NOW - 24 * 3600 if "x-oss-date" in change else NOW
    assert code_of(replace(request, headers=present), verifier(now)) == "InvalidArgument"


@pytest.mark.parametrize("expires", ["0", "604801", "-1", "", "x"])
def test_a_v4_url_lives_a_week_at_most(wire: Any, expires: str) -> None:
    """The life of a V4 URL is between a second and seven days."""
    request = wire.from_oss_v2(SignerV4(), "a.jpg", by_url=True)
    query = tuple({**dict(request.query), "x-oss-expires": expires}.items())
    assert code_of(replace(request, query=query), verifier(NOW)) == "InvalidArgument"
