"""Thumbnails: small, upright, without metadata, and one bad picture spoils no other."""

import binascii
from io import BytesIO

import pytest
from PIL import Image

from contract import InvalidMessage
from contract.thumbnails import decode_thumbnails
from worker.core.errors import Transient
from worker.core.thumbnails import make_thumbnail
from worker.services.thumbnails import Thumbnails
from worker.testing import MemoryIndex, MemoryObjects, make_row


def picture(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    """The bytes of a picture."""
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(thumbnail: bytes) -> Image.Image:
    """A thumbnail, decoded."""
    image = Image.open(BytesIO(thumbnail))
    image.load()
    return image


def test_a_turned_picture_is_shown_upright_and_without_metadata() -> None:
    """EXIF's orientation is applied, and nothing of EXIF is left."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a secret"
    made = make_thumbnail(picture(Image.new("RGB", (1200, 600), "red"), exif=exif, comment=b"a secret"), 128)
    assert opened(made).size == (64, 128)
    assert not opened(made).getexif()
    assert b"secret" not in made


def test_transparency_is_white() -> None:
    """What is transparent is laid over white."""
    made = opened(make_thumbnail(picture(Image.new("RGBA", (300, 300), (0, 0, 0, 0)), "PNG"), 32))
    assert made.size == (32, 32)
    assert made.getpixel((16, 16)) == (255, 255, 255)


def test_each_has_its_thumbnail_or_its_reason() -> None:
    """Indexed, by key or given: the order is kept, and one that is gone or no picture says so."""
    body = picture(Image.new("RGB", (90, 60), "blue"))
    objects = MemoryObjects({"a.jpg": body, "text": b"no picture"})
    rows = [make_row(1, object_key="a.jpg"), make_row(2, object_key="gone")]
    index = MemoryIndex({row.id: row for row in rows})
    given = binascii.b2a_base64(body, newline=False).decode()
    items = [
        *({"meta_id": n, "company_id": 1} for n in (2, 1, 3)),
        {"object_key": "text"},
        {"object_key": "a.jpg"},
        {"image": given},
    ]
    make = Thumbnails(objects, index, max_image_bytes=10_000, call_seconds=1)
    result = make(decode_thumbnails({"items": items, "side": 32}))
    assert [made is not None for made in result["thumbnails"]] == [False, True, False, False, True, True]
    assert [error is None for error in result["errors"]] == [False, True, False, False, True, True]
    assert result["errors"][2] == "not indexed"


def test_a_slow_bucket_keeps_nobody_waiting() -> None:
    """What is not read in time says so; what cannot be read for another reason is told, and the others are made."""
    body = picture(Image.new("RGB", (90, 60), "blue"))
    objects = MemoryObjects({"a.jpg": body}, failing={"b.jpg": Transient("broke off")})
    now = [0.0]

    def clock() -> float:
        now[0] += 0.4
        return now[0]

    make = Thumbnails(objects, MemoryIndex(), max_image_bytes=10_000, call_seconds=1, monotonic=clock)
    keys = ["b.jpg", "a.jpg", "a.jpg", "a.jpg"]
    result = make(decode_thumbnails({"items": [{"object_key": key} for key in keys]}))
    assert result["errors"] == ["broke off", None, "not in time", "not in time"]


@pytest.mark.parametrize(
    "message",
    [
        {"items": []},
        {"items": [{"meta_id": 1}]},
        {"items": [{"object_key": "a", "image": "AAAA"}]},
        {"items": [{"object_key": "a"}], "side": 513},
        {"items": [{"object_key": "a"}] * 101},
    ],
)
def test_what_does_not_fit_is_refused(message: object) -> None:
    """A call that is not of the contract is refused."""
    with pytest.raises(InvalidMessage):
        decode_thumbnails(message)
