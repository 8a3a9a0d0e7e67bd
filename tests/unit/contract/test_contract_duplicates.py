"""The arguments of `lookalike.duplicates`."""

from typing import Any

import pytest

from contract import InvalidMessage
from contract.duplicates import DuplicatesOptions, decode_duplicates


def test_a_call_is_decoded() -> None:
    """Only the tenant is required; the chance is one in a hundred unless said otherwise."""
    assert decode_duplicates({"company_id": 7}) == DuplicatesOptions(company_id=7)
    assert decode_duplicates({"company_id": 7}).chance == 0.01
    assert decode_duplicates({"company_id": 7, "max_chance": 0}).chance == 0
    page = f"{'0f' * 16}:1000"
    assert decode_duplicates({"company_id": 7, "max_distance": 4, "hash": "phash", "page": page}).page == page


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "company_id"),
        ({"company_id": "7"}, "company_id"),
        ({"max_distance": -1}, "max_distance"),
        ({"max_distance": 257}, "max_distance"),
        ({"max_distance": True}, "max_distance"),
        ({"max_chance": -0.1}, "max_chance"),
        ({"max_distance": 4, "max_chance": 0.1}, "not both"),
        ({"hash": "md5"}, "no profile 'md5'"),
        ({"page": "1000"}, "page"),
        ({"page": f"{'0f' * 16}:-1"}, "page"),
        ({"page": f"{'0f' * 16}:1000", "restart": True}, "restart"),
        ({"version": 2}, "version"),
        ({"everything": True}, "everything"),
    ],
)
def test_a_call_that_does_not_fit_is_refused(arguments: dict[str, Any], named: str) -> None:
    """With the field at fault."""
    with pytest.raises(InvalidMessage, match=named):
        decode_duplicates(({"company_id": 7} if arguments and "company_id" not in arguments else {}) | arguments)
