"""Whose picture an object is: each id from where it stands first, in the order of preference, and never a guess."""

from collections.abc import Mapping
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import KeyTemplate, ObjectEvent, UploadEvent
from contract.id_texts import IdName, metadata_ids, variable_ids
from worker.core.errors import ObjectMissing, Unmapped
from worker.core.mapping import IdSource, Mapper

SOURCES: tuple[IdSource, ...] = ("callback", "key", "metadata")
TEMPLATE = KeyTemplate("uploads/{company_id}/{meta_id}/{_}")
KEY = "uploads/7/42/a.jpg"
# Number.isInteger and int() take some of these; an id they are not.
NO_IDS = ["", " 7", "7 ", "+7", "7.0", "0x7", "7_0", "seven", "\u0667", "9223372036854775808", "1" * 64]


def event(**fields: Any) -> ObjectEvent:
    """An event of KEY, unless it says otherwise."""
    return ObjectEvent(**{"object_key": KEY, "source": "oss", **fields})


def never() -> Mapping[IdName, str]:
    """The metadata of an object that must not be asked."""
    raise AssertionError("the metadata was asked for")


def mapped(
    given: ObjectEvent, *sources: IdSource, template: KeyTemplate | None = TEMPLATE, **told: str
) -> tuple[int, int]:
    """The company and the picture that are found."""
    found = Mapper(sources or SOURCES, template, "pictures")(given, lambda: told)  # type: ignore[arg-type,return-value]
    assert isinstance(found, UploadEvent)
    return found.company_id, found.meta_id


def test_each_source_has_both_ids() -> None:
    """The callback's variables, the key, the metadata that the event tells, and the metadata that is asked for."""
    ids = {"company_id": "1", "meta_id": "2"}
    assert mapped(event(variables=ids), "callback") == (1, 2)
    assert mapped(event(), "key") == (7, 42)
    assert mapped(event(metadata=ids), "metadata") == (1, 2)
    assert mapped(event(), "metadata", company_id="3", meta_id="-4") == (3, -4)


@pytest.mark.parametrize("order", list(permutations(SOURCES)))
def test_the_first_source_that_has_an_id_is_taken(order: tuple[IdSource, ...]) -> None:
    """Whatever the others say."""
    given = event(variables={"company_id": "1", "meta_id": "1"}, metadata={"company_id": "3", "meta_id": "3"})
    assert mapped(given, *order) == {"callback": (1, 1), "key": (7, 42), "metadata": (3, 3)}[order[0]]


def test_the_two_ids_may_come_from_different_sources() -> None:
    """A tenant in the metadata, a picture in the key."""
    given = event(object_key="42.jpg", metadata={"company_id": "7"})
    assert mapped(given, template=KeyTemplate("{meta_id}.jpg")) == (7, 42)


def test_metadata_is_asked_for_only_where_it_is_needed() -> None:
    """Each question is a request to OSS."""
    mapper = Mapper(SOURCES, TEMPLATE, "pictures")
    assert mapper(event(), never).meta_id == 42
    with pytest.raises(Unmapped):
        mapper(event(object_key="a.jpg", metadata={}), never)
    with pytest.raises(AssertionError, match="asked"):
        mapper(event(object_key="a.jpg"), never)


@pytest.mark.parametrize("text", NO_IDS)
@pytest.mark.parametrize("source", ["variables", "metadata"])
def test_what_is_no_id_is_not_passed_over(source: str, text: str) -> None:
    """A lesser source would be a guess at what was meant."""
    ids = {"company_id": text, "meta_id": "1"}
    with pytest.raises(Unmapped, match=r"company_id of its (callback|metadata) is no signed 64-bit integer"):
        mapped(event(**{source: ids}), "callback", "metadata", "key")


def test_a_worse_value_behind_a_good_one_is_not_looked_at() -> None:
    """The order is one of preference."""
    assert mapped(event(metadata={"company_id": "x"})) == (7, 42)


@pytest.mark.parametrize(
    ("sources", "template", "why"),
    [
        (("key",), TEMPLATE, "no company_id and no meta_id in the key by uploads/{company_id}/{meta_id}/{_}"),
        (("key",), None, "no company_id and no meta_id in the key (there is no key template)"),
        (("callback", "metadata"), None, "no company_id in the callback's variables, the object's metadata"),
    ],
)
def test_it_is_said_where_was_looked(sources: tuple[IdSource, ...], template: KeyTemplate | None, why: str) -> None:
    """So that whoever reads the dead letter knows what to mend."""
    given = event(object_key="a.jpg", metadata={} if "key" in sources else {"meta_id": "1"})
    with pytest.raises(Unmapped) as raised:
        mapped(given, *sources, template=template)
    assert str(raised.value) == why


def test_an_event_may_bring_its_own_template() -> None:
    """In place of the workers'."""
    assert mapped(event(object_key="9/8", key_template="{company_id}/{meta_id}")) == (9, 8)
    with pytest.raises(Unmapped):
        mapped(event(key_template="{company_id}/{meta_id}"), "key")


def test_an_object_of_another_bucket_is_nobodys() -> None:
    """The workers would read the object of the same key in their own."""
    assert mapped(event(bucket="pictures")) == (7, 42)
    with pytest.raises(Unmapped, match="bucket films, and the workers read pictures"):
        mapped(event(bucket="films"))


def test_what_asking_raises_is_raised() -> None:
    """It decides whether the event is tried again."""

    def missing() -> Mapping[IdName, str]:
        raise ObjectMissing("gone")

    with pytest.raises(ObjectMissing):
        Mapper(SOURCES, None, "pictures")(event(), missing)


@given(st.dictionaries(st.text(max_size=30), st.text(max_size=100), max_size=5), st.text(max_size=100))
def test_the_names_of_ids_are_picked_out(others: dict[str, str], text: str) -> None:
    """Of variables and headers, in the ways that they are written; long ones are cut so that they are no ids."""
    others = {name: value for name, value in others.items() if "id" not in name.lower()}
    wanted = {"company_id": text[:64]}
    assert metadata_ids({**others, "X-Oss-Meta-Company-Id": text}) == wanted
    assert variable_ids({**others, "x:company_id": text, "company_id": "1"}) == (wanted if text else {})
    assert variable_ids({**others, "company_id": text}) == (wanted if text else {})
    assert variable_ids({"meta_id": 5}) == {"meta_id": "5"}
