"""Who knows a secret may send; who does not may not, whatever is wrong."""

from collections.abc import Mapping

import pytest

from producer.listening.authentication import Secrets, Unauthorized, sign

FIRST, SECOND = "first-secret-of-two", "second-secret-of-two"
NOW = 1_777_877_144
BODY = b'{"events": []}'


def check(headers: Mapping[str, str] | None = None, query: Mapping[str, str] | None = None, body: bytes = BODY) -> None:
    """Ask for a request to pass."""
    Secrets([FIRST, SECOND]).check(headers or {}, query or {}, body, NOW)


def signature(secret: str = FIRST, time: int = NOW, body: bytes = BODY) -> dict[str, str]:
    """A signed request's header."""
    return {"x-lookalike-signature": f"t={time},v1={sign(secret.encode(), time, body)}"}


@pytest.mark.parametrize("secret", [FIRST, SECOND])
def test_who_knows_a_secret_may_send(secret: str) -> None:
    """In a header, in the address, or by a signature; either secret, while they are changed."""
    check({"authorization": f"Bearer {secret}"})
    check({"authorization": f"bearer  {secret} "})
    check(query={"token": secret})
    check(signature(secret))
    Secrets([FIRST, SECOND]).check_token({"token": secret})


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({}, {}),
        ({"authorization": ""}, {}),
        ({"authorization": FIRST}, {}),
        ({"authorization": f"Basic {FIRST}"}, {}),
        ({"authorization": "Bearer "}, {}),
        ({"authorization": f"Bearer {FIRST}x"}, {}),
        ({"authorization": f"Bearer {FIRST[:-1]}"}, {}),
        ({"authorization": "Bearer \udcff"}, {}),
        ({}, {"token": ""}),
        ({}, {"token": FIRST + "\u00e9"}),
        ({"authorization": f"Bearer {FIRST}"}, {"token": "wrong"}),
        ({"authorization": f"Bearer {FIRST}", "x-lookalike-signature": ""}, {"token": FIRST}),
        ({"x-lookalike-signature": "t=1,v1=00"}, {}),
        (signature("another-secret-of-none"), {}),
        (signature(time=NOW - 301), {}),
        (signature(time=NOW + 301), {}),
        (signature(body=BODY + b" "), {}),
        ({"x-lookalike-signature": signature()["x-lookalike-signature"].replace(str(NOW), str(NOW + 1))}, {}),
        ({"x-lookalike-signature": signature()["x-lookalike-signature"].upper()}, {}),
    ],
)
def test_who_does_not_may_not(headers: dict[str, str], query: dict[str, str]) -> None:
    """And the reason holds nothing of what was shown."""
    with pytest.raises(Unauthorized) as raised:
        check(headers, query)
    assert FIRST[:-1] not in str(raised.value)


@pytest.mark.parametrize("age", [-300, 300])
def test_a_signature_lasts_five_minutes(age: int) -> None:
    """Either way, because clocks differ."""
    check(signature(time=NOW + age))


@pytest.mark.parametrize("query", [{}, {"token": "wrong"}])
def test_a_callbacks_address_has_the_secret(query: dict[str, str]) -> None:
    """A header would not do, for OSS sends none of ours."""
    with pytest.raises(Unauthorized):
        Secrets([FIRST]).check_token(query)
