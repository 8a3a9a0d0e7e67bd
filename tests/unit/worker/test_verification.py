"""What a match is, by a second look in all eight orientations."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from contract import PROFILES, InvalidMessage, Kind, Orientation, Query, SearchOptions
from tests.corpus import encode, photos
from worker.core.chance import Estimate
from worker.core.fingerprinting import Fingerprinter, orientations
from worker.core.fingerprints import Fingerprint
from worker.core.verifying import SAME_BITS, SIMILAR_BITS, Looked, verdict
from worker.ports import Row
from worker.services.queries import Queries
from worker.services.search import Search
from worker.services.verification import Verification
from worker.testing import MemoryIndex, MemoryObjects, make_row

AHASH, PDQ = PROFILES["ahash"], PROFILES["pdq.upright"]
HERE = Looked(7, (640, 480))
FAR = dict.fromkeys(Orientation, 128)


def photo(name: str) -> Image.Image:
    """A photo in RGB."""
    with Image.open(BytesIO(photos()[name])) as opened:
        return opened.convert("RGB")


@pytest.mark.parametrize(
    ("match", "distances", "kind"),
    [
        (HERE, {Orientation.AS_IT_IS: 0}, Kind.SAME_BYTES),
        (Looked(8, (640, 480)), {Orientation.AS_IT_IS: SAME_BITS}, Kind.RE_ENCODED),
        (Looked(8, (320, 240)), {Orientation.AS_IT_IS: SAME_BITS}, Kind.RESIZED),
        (Looked(8, (640, 480)), {Orientation.ROTATED_90: 3}, Kind.ROTATED_OR_MIRRORED),
        (Looked(8, (640, 480)), {Orientation.AS_IT_IS: SAME_BITS + 1}, Kind.SIMILAR),
        (Looked(8, (640, 480)), {Orientation.MIRRORED: SIMILAR_BITS}, Kind.SIMILAR),
        (Looked(8, (640, 480)), {Orientation.AS_IT_IS: SIMILAR_BITS + 1}, Kind.PROBABLY_CHANCE),
    ],
)
def test_each_kind(match: Looked, distances: dict[Orientation, int], kind: Kind) -> None:
    """By the checksum, the size, the nearest orientation and its distance."""
    made = verdict(HERE, match, FAR | distances)
    assert made.kind is kind
    assert (made.distance, made.orientation) == next((bits, way) for way, bits in distances.items())


def test_what_has_no_second_hash_is_not_verified() -> None:
    """And nothing is said of it."""
    assert verdict(HERE, HERE, None).kind is Kind.NOT_VERIFIED


@given(st.dictionaries(st.sampled_from(Orientation), st.integers(0, 256), min_size=1))
def test_as_it_is_comes_before_what_is_no_nearer(distances: dict[Orientation, int]) -> None:
    """Of equal distances the picture as it is counts, so that a symmetric picture is not called mirrored."""
    made = verdict(HERE, Looked(8, (1, 1)), distances)
    assert made.distance == min(distances.values())
    if distances.get(Orientation.AS_IT_IS) == made.distance:
        assert made.orientation is Orientation.AS_IT_IS


class Second(MemoryIndex):
    """The index of the second look. While it is late, fresh reads alone see its rows, as in Milvus for some time."""

    late = False

    def lookup(self, keys: Mapping[int, int], *, fresh: bool = False) -> Mapping[int, Row]:
        """Read rows."""
        return {} if self.late and not fresh else super().lookup(keys)


class World:
    """A search by average hash with a second look, over pictures that are indexed under the numbers of their names."""

    def __init__(self, **pictures: bytes) -> None:
        self.objects = MemoryObjects(dict(pictures))
        self.first, self.second = MemoryIndex(), Second()
        both = Fingerprinter([AHASH, PDQ])
        for n, (name, body) in enumerate(pictures.items()):
            made = both(body)
            self.first.rows |= row(n, name, made, 0)
            self.second.rows |= row(n, name, made, 1)
        self.search = Search(
            self.first,
            Queries(
                self.objects,
                self.first,
                Fingerprinter([AHASH]),
                profile=AHASH,
                max_image_bytes=10**8,
                object_seconds=5,
            ),
            lambda _: Estimate.of(AHASH, self.first.sample(1, 1000).vectors, 100),
            profile=AHASH,
            verification=Verification(
                self.second, partial(orientations, profile=PDQ), partial(orientations, profile=AHASH)
            ),
            retry_seconds=0.1,
        )

    def __call__(self, query: Query, **options: object) -> dict[str, tuple[str, str | None]]:
        """The kind and the orientation of each match, by its object's key."""
        asked = SearchOptions.model_validate({"company_id": 1, "verify": True, "collapse": False, **options})
        (matches,) = self.search([query], asked)
        return {match["object_key"]: (match["kind"], match["orientation"]) for match in matches}


def row(n: int, key: str, made: Fingerprint, which: int) -> dict[int, Row]:
    """The row of a picture by one of its hashes."""
    one = make_row(n, object_key=key, size=(made.width, made.height), content_crc=n)
    return {one.id: replace(one, hashes=(made.hashes[which],))}


def copies(name: str) -> dict[str, bytes]:
    """What people make of a photo."""
    image = photo(name)
    half = image.resize((image.width // 2, image.height // 2))
    return {
        "original": encode(image, "JPEG", quality=95),
        "re_encoded": encode(image, "JPEG", quality=60),
        "resized": encode(half, "JPEG", quality=90),
        "mirrored": encode(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "JPEG"),
        "rotated": encode(half.transpose(Image.Transpose.ROTATE_270), "JPEG"),
    }


@pytest.mark.parametrize("name", ["astronaut.png", "china.jpg", "coffee.png"])
def test_copies_are_told_apart(name: str) -> None:
    """Rotated and mirrored ones are found at all, within a few bits, though their hashes are far from the query's."""
    others = {f"other{n}": photos()[other] for n, other in enumerate(("rocket.jpg", "flower.jpg", "chelsea.png"))}
    world = World(**copies(name), **others)
    found = world(Query(object_key="original"), max_distance=4)
    assert found == {
        "original": ("re_encoded", "as_it_is"),
        "re_encoded": ("re_encoded", "as_it_is"),
        "resized": ("resized", "as_it_is"),
        "mirrored": ("rotated_or_mirrored", "mirrored"),
        "rotated": ("rotated_or_mirrored", "rotated_90"),
    }
    everything = world(Query(object_key="original"))
    assert {everything[key][0] for key in others} == {"probably_chance"}
    assert world(Query(meta_id=0), max_distance=4) == found
    assert world(Query(image=world.objects.bodies["original"]), max_distance=4) == found


def test_the_same_bytes_are_told_by_their_checksum() -> None:
    """Which OSS gives as CRC-64."""
    world = World(**copies("coffee.png"))
    asked = Queries(
        world.objects, world.first, Fingerprinter([AHASH]), profile=AHASH, max_image_bytes=10**8, object_seconds=5
    )([Query(object_key="original")], SearchOptions(company_id=1))
    crc = asked[0].crc
    assert crc is not None
    world.second.rows = {id_: replace(one, content_crc=crc) for id_, one in world.second.rows.items()}
    assert world(Query(object_key="original"), max_distance=4)["original"][0] == "same_bytes"


def test_a_row_without_a_second_hash_is_not_verified() -> None:
    """The profile may be new, and not filled yet."""
    world = World(**copies("coffee.png"))
    world.second.rows = {}
    assert set(world(Query(object_key="original"), max_distance=4).values()) == {("not_verified", None)}


@pytest.mark.parametrize(("fresh", "kind"), [(True, "resized"), (False, "not_verified")])
def test_a_fresh_search_looks_at_what_was_just_written(fresh: bool, kind: str) -> None:
    """The second look sees the same writes as the search."""
    world = World(**copies("coffee.png"))
    world.second.late = True
    assert world(Query(object_key="original"), max_distance=4, fresh=fresh)["resized"][0] == kind


def test_a_hash_cannot_be_looked_at() -> None:
    """There is no picture."""
    with pytest.raises(InvalidMessage, match="verify"):
        World()(Query(vector=bytes(8)))


def test_a_worker_without_pdq_says_so() -> None:
    """And which profile it takes."""
    index = MemoryIndex()
    queries = Queries(
        MemoryObjects(), index, Fingerprinter([AHASH]), profile=AHASH, max_image_bytes=10, object_seconds=5
    )
    search = Search(
        index, queries, lambda _: Estimate.of(AHASH, b"", 1), profile=AHASH, verification=None, retry_seconds=0.1
    )
    with pytest.raises(InvalidMessage, match=r"pdq\.upright"):
        search([Query(vector=bytes(8))], SearchOptions(company_id=1, verify=True))
