"""The photos that are measured with, wherever they are from."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import photos
from devstack.pictures import photos as of_the_wheels


@pytest.fixture(params=["Debian's", "of the wheels"])
def found(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> photos.Photos:
    """Photos of either source; those of Debian where they are installed."""
    found = photos.find() if request.param == "Debian's" else photos.find(tmp_path)
    monkeypatch.setattr(photos, "_found", lambda: found)
    return found


def sizes(bodies: Iterator[bytes]) -> Iterator[tuple[int, int]]:
    """How large JPEGs are, in pixels."""
    for body in bodies:
        with Image.open(BytesIO(body), formats=("JPEG",)) as image:
            yield image.size


def test_without_debians_packages_the_wheels_serve(tmp_path: Path) -> None:
    """And the notes can say so."""
    found = photos.find(tmp_path)
    assert found.every == tuple(of_the_wheels().values())
    assert "scikit-image" in found.source


def test_debians_packages_serve_where_both_are_whole(tmp_path: Path) -> None:
    """The larger pictures are made of wallpapers alone."""
    for file in (
        *(tmp_path / "backgrounds/mate/nature" / name for name in photos.NATURE),
        *(tmp_path / "doc/opencv-doc/examples/data" / name for name in photos.EXAMPLES),
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(file.name.encode())
    found = photos.find(tmp_path)
    assert found.large == tuple(name.encode() for name in photos.NATURE)
    assert found.every == found.large + tuple(name.encode() for name in photos.EXAMPLES)
    assert "mate-backgrounds" in found.source
    (tmp_path / "doc/opencv-doc/examples/data/home.jpg").unlink()
    assert "scikit-image" in photos.find(tmp_path).source


def test_pictures_have_the_size_that_is_asked_for(found: photos.Photos) -> None:
    """In megapixels, or along the longer side."""
    scaled = list(sizes(photos.of_pixels(250_000)))
    assert len(scaled) == len(found.large)
    assert all(abs(width * height - 250_000) < 1500 for width, height in scaled)
    fitted = list(sizes(photos.within(100)))
    assert len(fitted) == len(found.every)
    assert {max(size) for size in fitted} == {100}
    assert photos.source() == found.source


def test_images_are_large_enough_to_make_any_jpeg_of(found: photos.Photos) -> None:
    """400x300 pixels at the least."""
    for image in photos.images(640):
        assert image.mode == "RGB"
        assert max(image.size) == 640
        assert min(image.size) >= 300
    assert found.every
