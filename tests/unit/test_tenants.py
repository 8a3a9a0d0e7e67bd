"""The judge of the tenant fuzz sees every kind of leak."""

from itertools import islice
from typing import Any

import pytest

from contract import MEMBERS, SEARCH, InvalidMessage, QueryNotFound, row_id
from tests.tenants import COMPANIES, Answer, Call, Calls, flaws, key_of


def told(company_id: int, meta_id: int = 1) -> dict[str, Any]:
    """A row as a search tells of it."""
    return {
        "id": row_id(company_id, meta_id),
        "meta_id": meta_id,
        "company_id": company_id,
        "object_key": key_of(company_id, meta_id),
    }


ASKED = Call(SEARCH, {"query": {"object_key": key_of(5, 1)}, "company_id": 17})


def test_a_companys_own_rows_are_no_leak() -> None:
    """Nor is what is not there, nor an error that names what was asked for."""
    assert not flaws(ASKED, Answer({"matches": [told(17), told(17, 2)]}))
    assert not flaws(ASKED, Answer(error=QueryNotFound(f"{key_of(5, 1)} of {key_of(17, 1)}")))


@pytest.mark.parametrize(
    "leak",
    [
        told(1),
        told(17) | {"members": [told(-17)]},
        told(17) | {"object_key": key_of(1, 1)},
        told(17) | {"id": row_id(1, 1)},
        told(17) | {"note": f"near {key_of(5, 1)}"},
    ],
    ids=["row", "member", "key", "id", "text"],
)
def test_a_leak_is_seen(leak: dict[str, Any]) -> None:
    """Wherever in an answer it stands."""
    assert flaws(ASKED, Answer({"matches": [told(17), leak]}))


def test_a_leak_in_an_error_is_seen() -> None:
    """A key that was not asked for is news."""
    assert flaws(ASKED, Answer(error=InvalidMessage(key_of(1, 1))))


def test_other_errors_and_undue_answers_are_seen() -> None:
    """Only the contract's errors are admitted, and a call without a company is to be refused."""
    assert flaws(ASKED, Answer(error=KeyError("x")))
    for odd in (None, True, 17.0, "17", 2**64 + 17, [17]):
        assert flaws(Call(MEMBERS, {"company_id": odd, "meta_id": 1}), Answer({"members": []}))


def test_calls_ask_of_all_companies_and_never_for_all() -> None:
    """The same seed makes the same calls; none has `all_companies` as JSON's true."""
    calls = list(islice(Calls(3), 5000))
    assert calls[:50] == list(islice(Calls(3), 50)) or "nan" in repr(calls[:50])
    assert {call.company for call in calls} >= set(COMPANIES)
    assert not [call for call in calls if call.message.get("all_companies") is True]
