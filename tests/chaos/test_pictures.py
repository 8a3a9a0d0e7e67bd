"""The pictures of the chaos harness."""

from tests.chaos.pictures import COUNT, pictures
from worker.core.hashing import create_vector


def test_pictures_are_told_apart_by_their_vectors() -> None:
    """A row with another picture's vector is noticed."""
    assert len({picture.vector for picture in pictures()}) == COUNT
    assert all(create_vector(picture.body) == picture.vector for picture in pictures())


def test_pictures_are_small() -> None:
    """Hundreds of them are uploaded within a second."""
    assert max(len(picture.body) for picture in pictures()) < 30_000
