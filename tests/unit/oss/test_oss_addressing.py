"""Which bucket, key and parameters a request line names."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devstack.oss.addressing import Target, default_domains, parse_target
from devstack.oss.errors import OssError

DOMAINS = default_domains("cn-hangzhou")


@pytest.mark.parametrize("host", ["127.0.0.1:9000", "127.0.0.1", "[::1]:9000", "localhost:9000", "oss:9000", ""])
def test_path_style_has_the_bucket_in_the_path(host: str) -> None:
    """A host that is no subdomain of a known domain leaves bucket and key to the path."""
    assert parse_target("/pictures/a/b.jpg", host, DOMAINS) == Target(host, "pictures", "a/b.jpg")


@pytest.mark.parametrize(
    "host", ["pictures.oss-cn-hangzhou.aliyuncs.com", "Pictures.localhost:9000", "pictures.oss.test"]
)
def test_virtual_hosted_style_has_the_bucket_in_the_host(host: str) -> None:
    """A subdomain of a known domain is a bucket, and the whole path is the key."""
    target = parse_target("/a/b.jpg?x=1", host, (*DOMAINS, "oss.test"))
    assert target == Target(host, "pictures", "a/b.jpg", (("x", "1"),), virtual_hosted=True)


@pytest.mark.parametrize(
    ("raw", "bucket"), [("/", ""), ("/?x", ""), ("/pictures", "pictures"), ("/pictures/", "pictures")]
)
def test_service_and_bucket_have_no_key(raw: str, bucket: str) -> None:
    """Without a key the target is the bucket, and without a bucket it is the service."""
    target = parse_target(raw, "127.0.0.1", DOMAINS)
    assert (target.bucket, target.key) == (bucket, "")


def test_a_plus_is_a_space_in_the_query_only() -> None:
    """In the path a plus is itself; in the query it is a space, and %2B is the plus."""
    target = parse_target("/pictures/a+b%20c?prefix=a+b%2B", "127.0.0.1", DOMAINS)
    assert target.key == "a+b c"
    assert target.params == {"prefix": "a b+"}


def test_blank_parameters_are_kept() -> None:
    """A parameter without a value, with or without its equals sign, has an empty one."""
    assert parse_target("/pictures/?delete&prefix=", "127.0.0.1", DOMAINS).params == {"delete": "", "prefix": ""}


@pytest.mark.parametrize("key", ["../../x", "./a", "a//b", "a/../b", "..", "/a", "%2e%2e/a"])
def test_paths_are_not_resolved(key: str) -> None:
    """Dots, doubled slashes and percent signs belong to the key."""
    assert parse_target("/pictures/" + quote(key, safe="/"), "127.0.0.1", DOMAINS).key == key


def test_the_absolute_form_brings_its_own_host() -> None:
    """A request line as a proxy gets it names the host that the client meant."""
    raw = "http://pictures.oss-cn-hangzhou.aliyuncs.com/a.jpg?x"
    target = parse_target(raw, "ignored:80", DOMAINS)
    assert (target.host, target.bucket, target.key) == ("pictures.oss-cn-hangzhou.aliyuncs.com", "pictures", "a.jpg")


@pytest.mark.parametrize("raw", ["/pictures/%ff", "/pictures/?prefix=%ff", "/pictures/\udcff", "/%ff/a"])
def test_what_is_not_utf_8_is_refused(raw: str) -> None:
    """Keys and parameters are UTF-8; anything else answers 400."""
    with pytest.raises(OssError) as caught:
        parse_target(raw, "127.0.0.1", DOMAINS)
    assert caught.value.status == 400


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.sampled_from(["", "/"]))
def test_every_key_survives_the_request_line(key: str, safe: str) -> None:
    """However a client escapes a key, with %2F or with slashes, the server sees the same key."""
    assert parse_target("/pictures/" + quote(key, safe=safe), "127.0.0.1", DOMAINS).key == key
