"""The approximate profile: near the reference where there is a draft, the same where there is none."""

from io import BytesIO

import imagehash
import pytest
from PIL import Image

from tests.corpus import encode, photos
from worker.core.errors import NotAnImage, TooLarge
from worker.core.hashing import create_draft_vector, create_reference_vector, create_vector
from worker.core.pictures import MAX_PIXELS, limit_pixels
from worker.runtime import Runtime
from worker.settings import WorkerSettings
from worker.testing import hamming

# 1,024 pixels: decoded at a quarter.
LARGE = 1024


def large(name: str) -> Image.Image:
    """A photo, scaled to a square."""
    with Image.open(BytesIO(photos()[name])) as image:
        return image.convert("RGB").resize((LARGE, LARGE))


@pytest.mark.parametrize(
    "name", ["astronaut.png", "chelsea.png", "coffee.png", "china.jpg", "flower.jpg", "rocket.jpg"]
)
def test_a_draft_is_near_the_reference(name: str) -> None:
    """Two bits at the most on photos, where unrelated ones lie 17 and more apart."""
    body = encode(large(name), "JPEG", quality=85)
    assert hamming(create_draft_vector(body), create_reference_vector(body)) <= 2


def test_a_draft_is_decoded_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a quarter, which leaves 256 pixels; that is all the gain."""
    sizes = []
    average_hash = imagehash.average_hash

    def spy(image: Image.Image) -> object:
        sizes.append((image.size, image.mode))
        return average_hash(image)

    monkeypatch.setattr(imagehash, "average_hash", spy)
    create_draft_vector(encode(large("china.jpg"), "JPEG"))
    assert sizes == [((LARGE // 4, LARGE // 4), "L")]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_what_has_no_draft_has_the_reference_vector(kind: str) -> None:
    """Every format but JPEG."""
    body = encode(large("coffee.png").resize((600, 400)), kind)
    assert create_draft_vector(body) == create_vector(body)


def test_small_jpegs_are_not_scaled() -> None:
    """A grey one has the reference vector: there is no colour for libjpeg to leave out."""
    body = encode(large("coffee.png").resize((500, 300)).convert("L"), "JPEG")
    assert create_draft_vector(body) == create_vector(body)


def test_errors_are_the_references() -> None:
    """What is broken or too large is refused alike, before it is decoded."""
    body = encode(large("coffee.png"), "JPEG")
    for broken in (b"", b"text", body[: len(body) // 2]):
        with pytest.raises(NotAnImage) as ours:
            create_draft_vector(broken)
        with pytest.raises(NotAnImage) as theirs:
            create_reference_vector(broken)
        assert str(ours.value).split(":")[0] == str(theirs.value).split(":")[0]
    limit_pixels(LARGE * LARGE - 1)
    try:
        with pytest.raises(TooLarge):
            create_draft_vector(body)
    finally:
        limit_pixels(MAX_PIXELS)


def test_a_worker_of_the_profile_hashes_drafts_into_a_collection_of_their_own() -> None:
    """They are never compared with exact hashes."""
    settings = WorkerSettings(
        broker_url="redis://localhost/0",
        milvus_uri="http://localhost:19530",
        oss_endpoint="localhost",
        oss_bucket="pictures",
        oss_region="cn-hangzhou",
        hash="ahash_draft",
    )
    runtime = Runtime(settings, NotImplemented, NotImplemented)
    body = encode(large("china.jpg"), "JPEG")
    assert runtime.decoders(body).hashes[0].vector == create_draft_vector(body)
    assert runtime.index_of(None).collection == "images_ahash_draft"
