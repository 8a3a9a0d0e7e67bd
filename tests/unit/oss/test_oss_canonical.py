"""The strings that signatures cover, against published vectors."""

from collections.abc import Sequence

import pytest

from devstack.oss.canonical import (
    Scope,
    Signable,
    v1_signature,
    v1_string_to_sign,
    v4_canonical_request,
    v4_signature,
    v4_string_to_sign,
)

V4_PARAMETERS = (
    ("param1", "value1"),
    ("+param1", "value3"),
    ("|param1", "value4"),
    ("+param2", ""),
    ("|param2", ""),
    ("param2", ""),
)
V4_HEADERS = {
    "x-oss-head1": "value",
    "abc": "value",
    "zabc": "value",
    "xyz": "value",
    "content-type": "text/plain",
    "x-oss-content-sha256": "UNSIGNED-PAYLOAD",
}


def test_v1_signs_the_example_of_the_documentation() -> None:
    """The V1 signature of Aliyun's own example comes out."""
    request = Signable(
        "PUT",
        "oss-example",
        "nelson",
        (),
        {
            "content-md5": "ODBGOERFMDMzQTczRUY3NUE3NzA5QzdFNUYzMDQxNEM=",
            "content-type": "text/html",
            "x-oss-meta-author": "foo@bar.com",
            "x-oss-magic": "abracadabra",
            "host": "oss-example.oss-cn-hangzhou.aliyuncs.com",
        },
    )
    string_to_sign = v1_string_to_sign(request, "Thu, 17 Nov 2005 18:49:58 GMT")
    assert v1_signature("OtxrzxIsfpFjA7SwPzILwy8Bw21TLhquhboDYROV", string_to_sign) == "26NBxoKdsyly4EDv6inkoDft/yA="


@pytest.mark.parametrize(
    ("timestamp", "headers", "additional", "signature"),
    [
        ("20231216T162057Z", {}, (), "e21d18daa82167720f9b1047ae7e7f1ce7cb77a31e8203a7d5f4624fa0284afe"),
        (
            "20231217T034736Z",
            {"x-oss-security-token": "token"},
            (),
            "b94a3f999cf85bcdc00d332fbd3734ba03e48382c36fa4d5af5df817395bd9ea",
        ),
        (
            "20231216T172512Z",
            {},
            ("zabc", "abc"),
            "4a4183c187c07c8947db7620deb0a6b38d9fbdd34187b6dbaccb316fa251212f",
        ),
    ],
    ids=["plain", "with a token", "with additional headers"],
)
def test_v4_signs_the_vectors_of_the_official_sdks(
    timestamp: str, headers: dict[str, str], additional: Sequence[str], signature: str
) -> None:
    """The V4 signatures that Aliyun's SDKs test themselves with come out."""
    all_headers = {**V4_HEADERS, "x-oss-date": timestamp, **headers}
    request = Signable("PUT", "bucket", "1234+-/123/1.txt", V4_PARAMETERS, all_headers)
    scope = Scope(timestamp[:8], "cn-hangzhou")
    string_to_sign = v4_string_to_sign(timestamp, scope, v4_canonical_request(request, additional))
    assert v4_signature("sk", scope, string_to_sign) == signature


def test_v4_encodes_the_path_but_not_its_slashes_and_all_of_the_query() -> None:
    """In the canonical request a slash stays in the path and becomes %2F in the query; a space is %20 in both."""
    request = Signable("GET", "pictures", "a b/猫+~.jpg", (("prefix", "a b/"), ("delimiter", "")), {})
    lines = v4_canonical_request(request, ()).decode().split("\n")
    assert lines[1] == "/pictures/a%20b/%E7%8C%AB%2B~.jpg"
    assert lines[2] == "delimiter&prefix=a%20b%2F"


def test_v1_signs_subresources_only_and_leaves_them_unencoded() -> None:
    """Of the parameters V1 covers those that change the operation, sorted, blank ones without an equals sign."""
    query = (("prefix", "a/"), ("uploads", ""), ("response-content-type", "text/plain; q"), ("acl", ""))
    request = Signable("GET", "pictures", "a b", query, {})
    resource = v1_string_to_sign(request, "").decode().split("\n")[-1]
    assert resource == "/pictures/a b?acl&response-content-type=text/plain; q&uploads"


@pytest.mark.parametrize(("bucket", "resource"), [("", "/"), ("pictures", "/pictures/")])
def test_the_signed_resource_does_not_depend_on_the_addressing(bucket: str, resource: str) -> None:
    """The service is `/` and a bucket is `/bucket/`, whether the bucket was in the host or in the path."""
    assert Signable("GET", bucket, "", (), {}).resource == resource


def test_header_bytes_that_are_not_utf_8_are_signed_as_they_came() -> None:
    """What the server had to decode as surrogates goes into the signature as the original bytes."""
    request = Signable("PUT", "pictures", "a", (), {"x-oss-meta-a": b"caf\xe9".decode("utf-8", "surrogateescape")})
    assert b"x-oss-meta-a:caf\xe9\n" in v1_string_to_sign(request, "")
    assert b"x-oss-meta-a:caf\xe9\n" in v4_canonical_request(request, ())
