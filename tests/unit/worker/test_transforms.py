"""The changed copies that an evaluation looks for."""

from io import BytesIO
from random import Random

import pytest
from PIL import Image, ImageChops, ImageStat

from tests.corpus import photos
from worker.core.pictures import upright
from worker.core.transforms import TRANSFORMS, Transform

EVERY = pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=list(TRANSFORMS))


def opened(body: bytes) -> Image.Image:
    """The file, as it is shown."""
    with Image.open(BytesIO(body)) as image:
        return upright(image).copy()


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """A photo within 200 pixels."""
    image = opened(photos()["coffee.png"])
    image.thumbnail((200, 200))
    return image


def test_there_are_enough() -> None:
    """The issue asks for all of these, and for at least twelve transforms."""
    families = {transform.family for transform in TRANSFORMS.values()}
    wanted = {"recompress", "resize", "crop", "rotate", "mirror", "brightness", "watermark", "border", "screenshot"}
    assert wanted <= families
    assert len(TRANSFORMS) >= 12
    assert all("," not in name for name in TRANSFORMS), "the command line divides them by commas"


@EVERY
def test_the_same_seed_gives_the_same_bytes(transform: Transform, photo: Image.Image) -> None:
    """A file that is another picture than the original, made again alike, which leaves the original as it was."""
    before = photo.tobytes()
    first = transform.apply(photo, Random(1))
    assert transform.apply(photo, Random(1)) == first
    assert photo.tobytes() == before
    copy = opened(first)
    assert copy.size != photo.size or copy.convert("RGB").tobytes() != before


@EVERY
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1)])
def test_the_smallest_pictures_can_be_changed(transform: Transform, mode: str, size: tuple[int, int]) -> None:
    """Of one pixel, of one row, of one column, in colours or grey."""
    assert min(opened(transform.apply(Image.new(mode, size, "white"), Random(1))).size) >= 1


@pytest.mark.parametrize("name", ["crop 20%", "rotate 10°", "noise 20"])
def test_chance_is_the_seeds(name: str, photo: Image.Image) -> None:
    """What is random differs with the seed."""
    assert len({TRANSFORMS[name].apply(photo, Random(seed)) for seed in range(8)}) > 1


def test_what_levels_say_is_done(photo: Image.Image) -> None:
    """Sizes are as the names say."""
    width, height = photo.size
    sizes = {name: opened(transform.apply(photo, Random(1))).size for name, transform in TRANSFORMS.items()}
    assert sizes["resize 50%"] == (round(width / 2), round(height / 2))
    assert sizes["crop 20%"] == (round(width * 0.8), round(height * 0.8))
    assert sizes["stretch 30%"] == (round(width * 1.3), height)
    assert sizes["turn 90°"] == (height, width)
    assert sizes["exif turn"] == (width, height)
    assert sizes["border 5% black"] == (width + 2 * round(width * 0.05), height + 2 * round(width * 0.05))
    assert sizes["screenshot 25%"] == (width, height + 2 * round(height * 0.125))


def test_an_exif_turn_shows_the_same(photo: Image.Image) -> None:
    """Shown upright it is the original, but for what JPEG loses."""
    shown = opened(TRANSFORMS["exif turn"].apply(photo, Random(1)))
    assert max(ImageStat.Stat(ImageChops.difference(shown, photo)).mean) < 5


def test_noise_is_grain_around_nothing() -> None:
    """Its mean is 0 and its deviation what the name says, before JPEG takes some of it."""
    grey = Image.new("L", (200, 200), 128)
    noisy = ImageStat.Stat(opened(TRANSFORMS["noise 20"].apply(grey, Random(1))))
    assert noisy.mean[0] == pytest.approx(128, abs=1)
    assert noisy.stddev[0] == pytest.approx(20, abs=3)
