"""The vector is the reference's, bit for bit, and whatever is no picture is refused."""

from io import BytesIO

import imagehash
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.corpus import corpus, encode, photos, png_of
from worker.core.errors import NotAnImage, TooLarge
from worker.core.hashing import count_pixels, create_vector
from worker.core.pictures import MAX_PIXELS, limit_pixels


def reference(body: bytes) -> bytes:
    """The article's function, as it was published."""
    image = Image.open(BytesIO(body))
    bits: list[bool] = []
    for row in imagehash.average_hash(image).hash:
        bits.extend(row)
    return bytes(np.packbits([int(bit) for bit in bits], axis=-1).tolist())


def test_every_picture_has_the_reference_vector() -> None:
    """Over 300 pictures of all formats, modes and sizes have the vector that the article's function gives."""
    pictures = corpus()
    assert len(pictures) >= 300
    wrong = [name for name, body in pictures.items() if create_vector(body) != reference(body)]
    assert wrong == []


def test_a_vector_is_the_hash_as_imagehash_writes_it() -> None:
    """Row-major, most significant bit first: the hexadecimal form of imagehash's own hash."""
    body = photos()["astronaut.png"]
    with Image.open(BytesIO(body)) as image:
        assert create_vector(body) == bytes.fromhex(str(imagehash.average_hash(image)))


def test_a_file_is_read_like_bytes() -> None:
    """A binary file gives the vector of its bytes, and stays open."""
    body = photos()["coffee.png"]
    file = BytesIO(body)
    assert create_vector(file) == create_vector(body)
    assert not file.closed


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello, this is text",
        b"\xff\xd8\xff\xe0",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EOF\n",
        b"P6 1 1 255\n\x00\x00\x00",
    ],
    ids=["empty", "text", "only a JPEG's beginning", "EPS", "PPM, which is not in the list"],
)
def test_what_is_no_picture_is_refused(body: bytes) -> None:
    """Bytes that are no image of an accepted format are refused as that, and nothing is run on them."""
    with pytest.raises(NotAnImage):
        create_vector(body)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_half_a_picture_is_refused(kind: str) -> None:
    """A file that ends early has no hash, though its header is whole."""
    with Image.open(BytesIO(photos()["chelsea.png"])) as photo:
        body = encode(photo.quantize() if kind == "GIF" else photo, kind)
    with pytest.raises(NotAnImage):
        create_vector(body[: len(body) // 2])


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    """A small file that says it is huge is too large, whether Pillow would warn of it or raise."""
    for side in (9_500, 30_000):
        with pytest.raises(TooLarge):
            create_vector(png_of(side, side))


def test_the_limit_of_pixels_is_inclusive() -> None:
    """A picture of just the limit passes, one of a pixel more does not."""
    body = encode(Image.new("L", (10, 10)), "PNG")
    try:
        limit_pixels(100)
        assert len(create_vector(body)) == 8
        limit_pixels(99)
        with pytest.raises(TooLarge):
            create_vector(body)
    finally:
        limit_pixels(MAX_PIXELS)


@given(st.binary(max_size=400), st.sampled_from(["", "coffee.png", "rocket.jpg"]), st.integers(0, 5_000))
def test_hostile_bytes_give_a_vector_or_a_refusal(noise: bytes, name: str, where: int) -> None:
    """Whatever the bytes, the outcome is 8 bytes or one of our refusals, never another error."""
    body = photos().get(name, b"")
    try:
        vector = create_vector(body[:where] + noise + body[where + len(noise) :][:20_000])
    except (NotAnImage, TooLarge):
        return
    assert len(vector) == 8


def test_pixels_are_counted_without_decoding() -> None:
    """For every picture they are as many as Pillow says; a broken header has none, nor has a bomb that Pillow opens."""
    for name, body in corpus().items():
        with Image.open(BytesIO(body)) as image:
            assert count_pixels(body) == image.width * image.height, name
    assert count_pixels(b"no picture") == 0
    limit_pixels(100)
    try:
        assert count_pixels(png_of(20, 20)) == 0
        assert count_pixels(encode(Image.new("RGB", (20, 20)), "JPEG")) == 400  # refused, but not by its header
    finally:
        limit_pixels(MAX_PIXELS)
