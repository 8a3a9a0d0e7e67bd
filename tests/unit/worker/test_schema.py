"""What differs where a collection does not fit."""

from dataclasses import replace

import pytest

from worker.core.schema import FieldSpec, differences, fields

WANTED = fields(64)


def test_the_schema_fits_itself() -> None:
    """A collection that we made has no differences."""
    assert differences(WANTED, WANTED) == []


def test_a_longer_key_fits() -> None:
    """A VARCHAR that holds more than we need is no difference, whatever the order of the fields."""
    wider = [replace(field, size=2048) if field.type == "VARCHAR" else field for field in WANTED]
    assert differences(WANTED, wider[::-1]) == []


def test_the_articles_collection_is_refused_with_all_that_differs() -> None:
    """The collection of the article has keys that Milvus makes, and lacks three fields: each is said."""
    article = [replace(WANTED[0], auto_id=True), *WANTED[1:4]]
    assert differences(WANTED, article) == [
        "field object_key is missing",
        "field content_crc is missing",
        "field indexed_at is missing",
        "field quality is missing",
        "field width is missing",
        "field height is missing",
        "field vector_key is missing",
        "field id is made by Milvus (auto_id)",
    ]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (FieldSpec("meta_id", "VARCHAR", size=10), "field meta_id is VARCHAR, not INT64"),
        (FieldSpec("meta_id", "INT64", primary=True), "field meta_id is the primary key"),
        (FieldSpec("image_vector", "BINARY_VECTOR", size=256), "field image_vector has 256 bits, not 64"),
        (FieldSpec("image_vector", "FLOAT_VECTOR", size=64), "field image_vector is FLOAT_VECTOR, not BINARY_VECTOR"),
        (FieldSpec("object_key", "VARCHAR", size=100), "field object_key holds 100 bytes, not 1024"),
        (FieldSpec("id", "INT64"), "field id is not the primary key"),
        (FieldSpec("colour", "INT64"), "field colour is not known"),
    ],
)
def test_each_difference_is_said(found: FieldSpec, said: str) -> None:
    """A wrong type, size or key, or a field nobody knows, is named."""
    others = [field for field in WANTED if field.name != found.name]
    assert differences(WANTED, [*others, found]) == [said]
