"""Hashes by several profiles, from one decode."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import imagehash
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageOps

from contract import PROFILES, Orientation, Profile
from tests.corpus import corpus, encode, photos
from worker.core import fingerprinting, hashing, pdq
from worker.core.canaries import canaries, canary_digests, versions
from worker.core.errors import NotAnImage, TooLarge
from worker.core.fingerprinting import Fingerprinter, mirrored, orientations
from worker.core.fingerprints import LOW_QUALITY, Fingerprint, vector_key
from worker.core.hashing import create_draft_vector, create_vector
from worker.core.pictures import MAX_PIXELS, limit_pixels, open_picture

REFERENCES: dict[str, Callable[[Image.Image], Any]] = {
    "ahash": imagehash.average_hash,
    "dhash": imagehash.dhash,
    "phash": imagehash.phash,
}


def one(body: bytes, name: str) -> bytes:
    """The vector of a picture by one profile."""
    return Fingerprinter([PROFILES[name]])(body).hashes[0].vector


def quality(image: Image.Image, name: str = "ahash", kind: str = "JPEG") -> int:
    """The quality of a picture by one profile."""
    return Fingerprinter([PROFILES[name]])(encode(image, kind)).hashes[0].quality


def distance(one_: bytes, other: bytes) -> int:
    """The Hamming distance."""
    return int(np.bitwise_count(np.frombuffer(one_, np.uint8) ^ np.frombuffer(other, np.uint8)).sum())


@pytest.mark.parametrize("name", REFERENCES)
def test_hashes_are_imagehashs(name: str) -> None:
    """To the bit, for every kind of picture in the corpus."""
    different = []
    for key, body in corpus().items():
        with Image.open(BytesIO(body)) as image:
            wanted = bytes.fromhex(str(REFERENCES[name](image)))
        if one(body, name) != wanted:
            different.append(key)
    assert different == []


@pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
def test_a_profile_gives_the_same_alone_and_among_others(profile: Profile) -> None:
    """The vector, its length and its quality do not depend on what else is wanted, or in which order."""
    everything = Fingerprinter(list(PROFILES.values()))
    for key in ("china-12mp.jpg", "china-rotated-by-exif.jpg", "rgba.png", "16-bit.png", "coffee.png", "palette.png"):
        together = {hashed.profile: hashed for hashed in everything(corpus()[key]).hashes}
        (alone,) = Fingerprinter([profile])(corpus()[key]).hashes
        assert together[profile.name] == alone
        assert len(alone.vector) == profile.bytes
        assert 0 <= alone.quality <= 100


def test_hashes_are_in_the_order_asked() -> None:
    """And the size is that of the picture as it is stored."""
    made = Fingerprinter([PROFILES["pdq.upright"], PROFILES["ahash"]])(corpus()["china-rotated-by-exif.jpg"])
    assert [hashed.profile for hashed in made.hashes] == ["pdq.upright", "ahash"]
    assert (made.width, made.height) == (640, 427)


def test_the_article_and_its_draft_are_what_they_were() -> None:
    """The fast way and the slow one give what `create_vector` gives, with the same quality."""
    for key in ("china.jpg", "china-12mp.jpg", "grey.jpg", "rgba.png"):
        body = corpus()[key]
        fast = Fingerprinter([PROFILES["ahash"]])(body)
        slow = Fingerprinter([PROFILES["ahash"]], fast=False)(body)
        assert fast == slow
        assert fast.hashes[0].vector == create_vector(body)
        assert one(body, "ahash_draft") == create_draft_vector(body)


def test_a_picture_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is wanted of it."""
    opened: list[bytes] = []

    def counted(body: bytes) -> Image.Image:
        opened.append(body)
        return open_picture(body)

    monkeypatch.setattr(fingerprinting, "open_picture", counted)
    wanted = [profile for profile in PROFILES.values() if profile.name != "ahash_draft"]
    Fingerprinter(wanted)(corpus()["china.jpg"])
    assert len(opened) == 1


def test_a_picture_that_is_upright_is_hashed_once_for_both_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    """But twice where the forms differ."""
    made: list[Image.Image] = []
    transform = pdq.transform

    def counted(image: Image.Image) -> Any:
        made.append(image)
        return transform(image)

    monkeypatch.setattr("worker.core.pdq.transform", counted)
    both = Fingerprinter([PROFILES["pdq"], PROFILES["pdq.upright"]])
    plain = both(corpus()["china.jpg"])
    assert len(made) == 1
    assert plain.hashes[0].vector == plain.hashes[1].vector
    turned = both(corpus()["china-rotated-by-exif.jpg"])
    assert len(made) == 3
    assert turned.hashes[0].vector != turned.hashes[1].vector


@pytest.mark.parametrize("name", ["ahash", "dhash", "phash", "pdq"])
def test_upright_is_as_it_is_shown(name: str) -> None:
    """EXIF's orientation is applied, alpha laid over white, 16 bits scaled: as if somebody had done it before."""

    def prepared(key: str) -> Image.Image:
        with Image.open(BytesIO(corpus()[key])) as image:
            if key == "china-rotated-by-exif.jpg":
                return ImageOps.exif_transpose(image).convert("RGB")
            if "16-bit" in key:
                return Image.fromarray((np.asarray(image).astype(np.uint16) // 256).astype(np.uint8))
            white = Image.new("RGBA", image.size, "white")
            return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")

    for key in ("china-rotated-by-exif.jpg", "16-bit.png", "16-bit.tiff", "rgba.png", "grey-alpha.png", "rgba.webp"):
        assert one(corpus()[key], f"{name}.upright") == one(encode(prepared(key), "PNG"), name), key
    assert one(corpus()["coffee.png"], f"{name}.upright") == one(corpus()["coffee.png"], name)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_undone(orientation: int) -> None:
    """A photo of which a camera says how it was held has the hash of the photo that is shown, the fast way too."""
    with Image.open(BytesIO(photos()["china.jpg"])) as photo:
        exif = Image.Exif()
        exif[0x0112] = orientation
        body = encode(photo, "JPEG", exif=exif, quality=95)
    with Image.open(BytesIO(body)) as image:
        shown = encode(ImageOps.exif_transpose(image), "PNG")
    assert one(body, "ahash.upright") == one(shown, "ahash")
    assert one(body, "pdq.upright") == one(shown, "pdq")


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", [2, 3, 6, 7])
def test_every_format_is_turned_once(kind: str, orientation: int) -> None:
    """Pillow turns a TIFF by itself when it is decoded, and no other."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(BytesIO(photos()["chelsea.png"])) as photo:
        body = encode(photo, kind, exif=exif)
    with Image.open(BytesIO(body)) as image:
        shown = encode(ImageOps.exif_transpose(image), "PNG")
    for name in ("dhash", "pdq"):
        assert one(body, f"{name}.upright") == one(shown, name)
        assert orientations(body, PROFILES[f"{name}.upright"])[Orientation.AS_IT_IS] == one(shown, name)


@pytest.mark.parametrize(
    ("mode", "transparency"), [("P", 3), ("P", bytes(range(0, 256, 16))), ("L", 100), ("RGB", (0, 0, 0)), ("1", 0)]
)
def test_transparency_of_every_kind_is_laid_over_white(mode: str, transparency: object) -> None:
    """A colour that is transparent, or a transparency for each colour of a palette, is as good as an alpha channel."""
    pixels = np.random.default_rng(3).integers(0, 2, (24, 32, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8) * 100
    image = Image.fromarray(pixels)
    image = image.quantize(16) if mode == "P" else image.convert(mode)
    body = encode(image, "PNG", transparency=transparency)
    with Image.open(BytesIO(body)) as opened:
        shown = opened.convert("RGBA")
    white = Image.new("RGBA", shown.size, "white")
    laid = encode(Image.alpha_composite(white, shown).convert("RGB"), "PNG")
    for name in ("ahash", "phash", "pdq"):
        assert one(body, f"{name}.upright") == one(laid, name)


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))),
    st.sampled_from([profile for profile in PROFILES.values() if profile.name != "ahash_draft"]),
)
def test_any_picture_has_a_hash_of_the_profiles_length(pixels: Any, profile: Profile) -> None:
    """However small it is; its quality is within bounds, and what is mirrored twice is as before."""
    body = encode(Image.fromarray(pixels), "BMP")
    (hashed,) = Fingerprinter([profile])(body).hashes
    assert len(hashed.vector) == profile.bytes
    assert 0 <= hashed.quality <= 100
    vectors = np.frombuffer(hashed.vector, np.uint8)[None]
    assert (mirrored(mirrored(vectors, profile), profile) == vectors).all()
    assert orientations(body, profile)[Orientation.AS_IT_IS] == hashed.vector


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_exif_that_is_broken_turns_nothing() -> None:
    """The picture is as good as without."""
    with Image.open(BytesIO(photos()["china.jpg"])) as photo:
        body = encode(photo, "JPEG", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff" + b"\xff" * 40)
        plain = encode(photo, "JPEG")
    assert one(body, "phash.upright") == one(plain, "phash")


@pytest.mark.parametrize("name", ["ahash", "dhash", "phash"])
def test_pictures_without_content_have_a_low_quality(name: str) -> None:
    """Solid colours, noise, a speck on white, a faint gradient; photos are far above."""
    random = np.random.default_rng(1)
    noise = np.clip(128 + random.normal(0, 20, (300, 400, 3)), 0, 255).astype(np.uint8)
    speck = Image.new("RGB", (800, 600), "white")
    speck.paste("black", (400, 300, 408, 308))
    faint = Image.fromarray(np.tile(np.linspace(124, 132, 400).astype(np.uint8), (300, 1)))
    for blank in (Image.new("L", (40, 30), 255), Image.new("RGB", (40, 30), "red")):
        assert quality(blank, name, "PNG") == 0
    for nearly in (Image.fromarray(noise), speck, faint):
        assert quality(nearly, name) < LOW_QUALITY
    for key in ("china.jpg", "astronaut.png", "coffee.png", "chelsea.png"):
        assert Fingerprinter([PROFILES[name]])(photos()[key]).hashes[0].quality > 5 * LOW_QUALITY


@pytest.mark.parametrize(
    ("name", "most"), [("ahash", 1), ("dhash", 8), ("phash", 8), ("pdq", 40), ("phash.upright", 8)]
)
def test_bits_are_mirrored_as_pictures_are(name: str, most: int) -> None:
    """For nearly all photos; half of the bits would differ by chance."""
    profile = PROFILES[name]
    differing = []
    for body in photos().values():
        with Image.open(BytesIO(body)) as image:
            turned = encode(image.convert("RGB").transpose(Image.Transpose.FLIP_LEFT_RIGHT), "BMP")
            straight = encode(image.convert("RGB"), "BMP")
        vector = np.frombuffer(one(straight, name), np.uint8)[None]
        differing.append(distance(mirrored(vector, profile).tobytes(), one(turned, name)))
        assert (mirrored(mirrored(vector, profile), profile) == vector).all()
    assert np.percentile(differing, 80) <= most


@pytest.mark.parametrize("name", ["ahash", "dhash", "phash", "pdq", "pdq.upright"])
def test_a_picture_is_hashed_in_eight_orientations(name: str) -> None:
    """As its turned copies would be, nearly; the first is the picture as it is."""
    with Image.open(BytesIO(photos()["chelsea.png"])) as image:
        photo = image.convert("RGB")
    found = orientations(encode(photo, "PNG"), PROFILES[name])
    assert list(found) == list(Orientation)
    assert found[Orientation.AS_IT_IS] == one(encode(photo, "PNG"), name)
    for number, orientation in enumerate(Orientation, start=1):
        exif = Image.Exif()
        exif[0x0112] = number
        shown = ImageOps.exif_transpose(_tagged(photo, exif))
        vector = one(encode(shown, "PNG"), name)
        nearest = min(found, key=lambda one_: distance(found[one_], vector))
        assert nearest == orientation
        assert distance(found[nearest], vector) <= PROFILES[name].bits // 16


def _tagged(photo: Image.Image, exif: Image.Exif) -> Image.Image:
    return Image.open(BytesIO(encode(photo, "PNG", exif=exif)))


@pytest.mark.parametrize("names", [["ahash"], ["phash"], ["pdq.upright", "dhash"]])
def test_what_is_no_picture_is_refused(names: list[str]) -> None:
    """The same errors as ever, whichever the profile."""
    fingerprinter = Fingerprinter([PROFILES[name] for name in names])
    for body in (b"", b"no picture", corpus()["china.jpg"][:1000], corpus()["rgba.png"][:100]):
        with pytest.raises(NotAnImage):
            fingerprinter(body)
        with pytest.raises(NotAnImage):
            orientations(body, PROFILES[names[0]])
    limit_pixels(1000)
    try:
        with pytest.raises(TooLarge):
            fingerprinter(corpus()["china.jpg"])
    finally:
        limit_pixels(MAX_PIXELS)


def test_canaries_are_of_all_kinds_and_are_hashed_whatever_the_limit() -> None:
    """A worker that admits small pictures only makes the same collections as any other."""
    limit_pixels(10)
    try:
        canary_digests.cache_clear()
        digests = canary_digests(PROFILES["ahash.upright"])
    finally:
        limit_pixels(MAX_PIXELS)
        canary_digests.cache_clear()
    assert digests == canary_digests(PROFILES["ahash.upright"])
    assert digests.keys() == dict(canaries()).keys()
    plain = canary_digests(PROFILES["ahash"])
    assert {name for name in plain if plain[name] != digests[name]} >= {"alpha", "grey alpha", "orientation 6"}


def test_versions_name_what_takes_part() -> None:
    """PDQ needs no imagehash."""
    assert versions(PROFILES["phash"]).keys() >= {"pillow", "numpy", "imagehash", "scipy", "libjpeg-turbo"}
    assert "imagehash" not in versions(PROFILES["pdq"])


def test_a_vector_has_a_key() -> None:
    """A signed integer of 64 bits, equal for equal vectors; it does not change between releases."""
    assert vector_key(bytes(8)) == vector_key(bytes(8)) != vector_key(bytes(32))
    assert -(2**63) <= vector_key(b"x" * 32) < 2**63
    assert vector_key(bytes(8)) == -3888600598277665768


def test_a_fingerprint_is_plain_data() -> None:
    """Two of the same picture are equal."""
    made = Fingerprinter([PROFILES["ahash"]])(corpus()["coffee.png"])
    assert made == Fingerprint(600, 400, made.hashes)


def test_uploads_are_hashed_by_the_articles_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under its own name, and whatever it returns is the vector."""
    monkeypatch.setattr(hashing, "create_vector", lambda body: body[:8])
    made = Fingerprinter([PROFILES["ahash"]])(b"12345678 and more")
    assert made.hashes[0].vector == b"12345678"
