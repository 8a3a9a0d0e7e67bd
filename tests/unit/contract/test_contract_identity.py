"""The row id is the same for ever: rows that are stored are found by it."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import row_id

INT64 = st.integers(-(2**63), 2**63 - 1)


@pytest.mark.parametrize(
    ("company_id", "meta_id", "expected"),
    [
        (0, 0, 5931422162917553166),
        (7, 1, 2134387928323503872),
        (1, 7, 3299773064641660039),
        (-1, 1, 6159666067123225222),
        (2**63 - 1, -(2**63), 1826657555677563008),
    ],
)
def test_known_ids(company_id: int, meta_id: int, expected: int) -> None:
    """Computed once, with the first release."""
    assert row_id(company_id, meta_id) == expected


@given(INT64, INT64)
def test_an_id_is_a_positive_int64_and_stable(company_id: int, meta_id: int) -> None:
    """It fits Milvus' primary key, and depends on the pair alone."""
    identity = row_id(company_id, meta_id)
    assert 0 <= identity < 2**63
    assert identity == row_id(company_id, meta_id)


@given(st.lists(st.tuples(INT64, INT64), unique=True, max_size=50))
def test_pairs_do_not_share_ids(pairs: list[tuple[int, int]]) -> None:
    """Sixty-three bits: among a few pairs a collision would be a fault of the derivation."""
    assert len({row_id(*pair) for pair in pairs}) == len(pairs)


@given(INT64, INT64)
def test_the_order_of_the_ids_matters(one: int, other: int) -> None:
    """Picture 1 of company 7 is not picture 7 of company 1."""
    assert (row_id(one, other) == row_id(other, one)) is (one == other)


@pytest.mark.parametrize("beyond", [2**63, -(2**63) - 1])
def test_beyond_int64(beyond: int) -> None:
    """What is no INT64 has no id."""
    with pytest.raises(struct.error):
        row_id(beyond, 0)
    with pytest.raises(struct.error):
        row_id(0, beyond)
