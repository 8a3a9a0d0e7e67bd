"""What `make bench ARGS=hashing` says; the measuring itself is not for tests."""

import sys
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from random import Random

import pytest
from PIL import Image, JpegImagePlugin

from benchmarks import exactness, photos
from benchmarks.hashers import REFERENCE, Hasher, Missing, hashers
from benchmarks.hashing import SERIES, plot, time_threads, time_ways
from benchmarks.jpegs import encode_as, kinds, make
from benchmarks.section import Table, Value
from worker.core.hashing import create_reference_vector

WAYS: list[Hasher | Missing] = [
    Hasher(REFERENCE, "the reference", lambda file: create_reference_vector(file.read_bytes())),
    Hasher("one bit off", "wrong", lambda file: flipped(create_reference_vector(file.read_bytes()))),
    Missing("absent", "not installed"),
    Hasher("decode only", "no hash", lambda _: None),
]


def flipped(vector: bytes) -> bytes:
    """Change the last bit."""
    return (int.from_bytes(vector) ^ 1).to_bytes(8)


@pytest.fixture(scope="module")
def bodies() -> Sequence[bytes]:
    """Thumbnails."""
    return list(photos.within(60))[:3]


@pytest.fixture
def images() -> list[Image.Image]:
    """Two photos."""
    return [image for image, _ in zip(photos.images(640), range(2), strict=False)]


def test_every_way_is_measured_and_compared_with_the_reference(bodies: Sequence[bytes]) -> None:
    """A row each; what is missing, or gives no vector, says so by having no value."""
    rows = {str(row["way"]): row for row in time_ways("60 px", WAYS, bodies, rounds=2)}
    assert list(rows) == [way.name for way in WAYS]
    assert rows[REFERENCE]["times as fast"] == 1
    assert off(rows[REFERENCE]) == (0, 0, "0%")
    assert off(rows["one bit off"]) == (1, 1, "100%")
    assert off(rows["decode only"]) == (None, None, None)
    assert rows["decode only"]["ms"] is not None
    assert set(rows["absent"].values()) == {"60 px", "absent", None}
    assert len({tuple(row) for row in rows.values()}) == 1


def off(row: Mapping[str, Value]) -> tuple[Value, Value, Value]:
    """How far the vectors are from the reference's."""
    return row["bits off"], row["most"], row["differ"]


def test_the_ways_that_are_here_agree_with_the_article(tmp_path: Path, bodies: Sequence[bytes]) -> None:
    """The first is the reference, the last hashes nothing, and ours and the article's give the same vectors."""
    ways = list(hashers())
    assert [way.name for way in ways] == [REFERENCE, "fast", "imagehash", "perception", "imagededup", "decode only"]
    file = tmp_path / "photo.jpg"
    file.write_bytes(bodies[0])
    found = {way.name: way.hash(file) for way in ways if isinstance(way, Hasher)}
    assert found["decode only"] is None
    assert {found[name] for name in (REFERENCE, "fast", "imagehash")} == {create_reference_vector(bodies[0])}


def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are measured all the same."""
    for library in ("perception.hashers", "imagededup.methods.hashing"):
        monkeypatch.setitem(sys.modules, library, None)
    missing = [way for way in hashers() if isinstance(way, Missing)]
    assert [way.name for way in missing] == ["perception", "imagededup"]
    assert all("make bench" in way.why for way in missing)


def test_threads_are_measured_for_both_ways(bodies: Sequence[bytes]) -> None:
    """The fast way and the reference, as pictures a second."""
    rows = list(time_threads("60 px", bodies, blocks=2))
    assert [row["way"] for row in rows] == ["fast", REFERENCE]
    for row in rows:
        assert all(isinstance(row[name], float) for name in ("1 thread", "2 threads", "ratio"))


def test_every_jpeg_is_counted_and_none_is_wrong(images: list[Image.Image]) -> None:
    """All plain kinds are hashed the fast way."""
    found = dict(exactness.count(images, [50, 81], 20))
    assert list(found) == [kind.name for kind in kinds()] + ["any kind"]
    assert found.pop("any kind").compared == 20
    assert {(one.compared, one.fast, one.wrong) for one in found.values()} == {(4, 4, 0)}


def test_a_wrong_vector_is_counted(images: list[Image.Image], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is a bit off."""
    monkeypatch.setattr(exactness, "create_vector", lambda body: flipped(create_reference_vector(body)))
    assert dict(exactness.count(images, [50], 3))["any kind"].wrong == 3


def test_jpegs_are_of_the_kind_that_is_said(images: list[Image.Image]) -> None:
    """Sampling, order and mode."""
    for kind in kinds():
        with Image.open(BytesIO(encode_as(kind, images[0], 80))) as image:
            assert isinstance(image, JpegImagePlugin.JpegImageFile)
            sampling = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0", -1: "grey"}[JpegImagePlugin.get_sampling(image)]
            order = "progressive" if image.info.get("progressive") else "baseline"
        assert kind.name == f"{sampling}, {order}"


def test_the_same_seed_makes_the_same_jpegs(images: list[Image.Image]) -> None:
    """So that what is found can be found again."""
    first, second = Random(5), Random(5)
    assert [make(first, images) for _ in range(20)] == [make(second, images) for _ in range(20)]


def test_the_plot_shows_every_way_at_every_size() -> None:
    """On a logarithmic axis that names its unit; without those that are missing."""
    rows: list[dict[str, Value]] = [
        {"JPEGs of": series.name, "way": way, "ms": ms} for series in SERIES for way, ms in (("a", 2.5), ("b", None))
    ]
    (axes,) = plot({"times": Table("times", "", rows)}).axes
    assert axes.get_xscale() == "log"
    assert "ms" in axes.get_xlabel()
    assert [line.get_label() for line in axes.lines] == [series.name for series in SERIES]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a"]
