"""A key template reads ids out of keys in one way, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import InvalidMessage, KeyTemplate

INT64 = st.integers(-(2**63), 2**63 - 1)
# Anything that may stand within a segment, but what the templates below part it by.
PIECES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/-."), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("template", "key", "ids"),
    [
        ("uploads/{company_id}/{meta_id}/{_}.jpg", "uploads/7/42/a b+c%d.é.jpg", {"company_id": 7, "meta_id": 42}),
        ("uploads/{company_id}/{meta_id}/{_}.jpg", "uploads/7/42/.jpg", None),
        ("uploads/{company_id}/{meta_id}/{_}.jpg", "uploads/7/42/x/a.jpg", None),
        ("uploads/{company_id}/{meta_id}/{_}.jpg", "uploads/7/42/a.png", None),
        ("uploads/{company_id}/{meta_id}/{_}.jpg", "old/uploads/7/42/a.jpg", None),
        ("uploads/{company_id}/{meta_id}/{_}.jpg", "uploads/7/42/a.jpg\n", None),
        ("{company_id}/{meta_id}", "007/-1", {"company_id": 7, "meta_id": -1}),
        ("{company_id}/{meta_id}", "\u0667/1", None),
        ("{company_id}/{meta_id}", "7/9223372036854775808", None),
        ("{company_id}/{meta_id}", "7/9223372036854775807", {"company_id": 7, "meta_id": 2**63 - 1}),
        ("{company_id}-{meta_id}.{_}", "7--42.tar.gz", {"company_id": 7, "meta_id": -42}),
        ("{_}-{meta_id}.jpg", "front-42.jpg", {"meta_id": 42}),
        ("{_}-{meta_id}.jpg", "front-1-42.jpg", None),
        ("{__}/{company_id}/{meta_id}.jpg", "a/b/c/7/42.jpg", {"company_id": 7, "meta_id": 42}),
        ("{__}/{company_id}/{meta_id}.jpg", "7/42.jpg", None),
        ("{company_id}/{__}/{meta_id}.jpg", "7/a/b/42.jpg", {"company_id": 7, "meta_id": 42}),
        ("a.b[c]/{meta_id}", "a.b[c]/1", {"meta_id": 1}),
        ("a.b[c]/{meta_id}", "aXb[c]/1", None),
    ],
)
def test_a_key_is_read(template: str, key: str, ids: dict[str, int] | None) -> None:
    """Whole, with each placeholder in its segment, and literal text as it stands."""
    assert KeyTemplate(template).ids(key) == ids


@pytest.mark.parametrize(
    "template",
    [
        "",
        "uploads/{_}.jpg",
        "{company}/{meta_id}",
        "{meta_id}/{meta_id}",
        "{_}{meta_id}.jpg",
        "{company_id}{meta_id}",
        "{meta_id}0.jpg",
        "{__}/{__}/{meta_id}",
        "a{__}/{meta_id}",
        "{meta_id",
        "meta_id}/{company_id}",
        "{_}.{_}.{_}/{meta_id}",
        "{meta_id}.{_}.{_}",
        "{meta_id}" + 1024 * "x",
    ],
)
def test_a_template_that_could_guess_is_refused(template: str) -> None:
    """And so is what is none."""
    with pytest.raises(InvalidMessage, match=r"^key template: "):
        KeyTemplate(template)


@given(INT64, INT64, PIECES, PIECES, st.lists(PIECES, min_size=1, max_size=3))
def test_what_was_put_into_a_key_is_read_out_of_it(
    company_id: int, meta_id: int, before: str, after: str, folders: list[str]
) -> None:
    """Whatever stands around the ids."""
    template = KeyTemplate("{__}/{_}.{company_id}-{_}.{meta_id}.{_}")
    key = f"{'/'.join(folders)}/{before}.{company_id}-{before}.{meta_id}.{after}"
    assert template.ids(key) == {"company_id": company_id, "meta_id": meta_id}


@given(st.text(max_size=200))
def test_any_key_is_read_or_refused(key: str) -> None:
    """Without an error, and without the time that a pattern takes that looks at all ways to part it."""
    assert KeyTemplate("{_}a{_}/{__}/{meta_id}").ids(key) is None or key.count("/") > 1
    hostile = "a" * 300 + "/" + "/a" * 300
    assert KeyTemplate("{_}a{_}/{__}/{meta_id}").ids(hostile) is None
