"""Evaluating, a few pictures a call."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from PIL import Image

from contract import PROFILES, Evaluating, EvaluationReport, InvalidMessage, decode_evaluate
from tests.corpus import photos
from worker.core.errors import Busy, NotReadable, Transient
from worker.core.fingerprinting import Fingerprinter
from worker.core.transforms import TRANSFORMS
from worker.core.variants import hash_variants
from worker.ports import Row
from worker.services.evaluation import CALL_SECONDS, Evaluation
from worker.testing import MemoryJobs, MemoryObjects, make_row

FEW = ["mirror", "resize 50%", "exif turn"]
NAMES = ["coffee.png", "chelsea.png", "rocket.jpg", "astronaut.png"]


@dataclass
class Rows:
    """A tenant's rows in the order of their ids."""

    rows: list[Row] = field(default_factory=list)

    def scan(self, company_id: int | None, after: int, limit: int) -> list[Row]:
        """Read a page."""
        assert company_id == 7
        return [row for row in sorted(self.rows, key=lambda row: row.id) if row.id > after][:limit]


@dataclass
class Clock:
    """Seconds that pass with each look: a picture a call, where a look takes long."""

    step: float = 0.0
    now: float = 0.0

    def __call__(self) -> float:
        """Look."""
        self.now += self.step
        return self.now


@pytest.fixture
def objects() -> MemoryObjects:
    """The photos."""
    return MemoryObjects({name: photos()[name] for name in NAMES})


@pytest.fixture
def jobs() -> MemoryJobs:
    """No checkpoint."""
    return MemoryJobs()


@pytest.fixture
def make(objects: MemoryObjects, jobs: MemoryJobs) -> Callable[..., Evaluation]:
    """Makes an evaluation of those."""

    def build(rows: Rows | None = None, step: float = 0.0) -> Evaluation:
        return Evaluation(objects, rows or Rows(), jobs, object_seconds=10, now=Clock(step))

    return build


def wanted(**arguments: Any) -> Evaluating:
    """A message of few profiles and transforms."""
    defaults = {"keys": NAMES, "hashes": ["ahash", "pdq.upright"], "transforms": FEW, "false_match_rate": 0.01}
    return decode_evaluate({**defaults, **arguments})


def report_of(evaluation: Evaluation, message: Evaluating) -> EvaluationReport:
    """Call until there is a report."""
    for _ in range(100):
        if (report := evaluation(message)["report"]) is not None:
            return report
    pytest.fail("it never ends")


def test_copies_are_found_and_others_are_not(make: Callable[..., Evaluation], jobs: MemoryJobs) -> None:
    """A smaller copy is found by all, a mirrored one not always, and one that EXIF turns by upright hashes alone."""
    report = report_of(make(), wanted())
    assert (report["pictures"], report["blank"], report["related_pairs"], report["unrelated_pairs"]) == (4, 0, 0, 6)
    assert report["transforms"] == FEW
    ahash, pdq = report["profiles"]
    assert (ahash["hash"], pdq["hash"], pdq["bits"]) == ("ahash", "pdq.upright", 256)
    assert pdq["recalls"]["mirror"] < 1.0
    assert pdq["recalls"]["resize 50%"] == pdq["recalls"]["exif turn"] == 1.0
    assert ahash["recalls"]["resize 50%"] == 1.0
    assert ahash["recalls"]["exif turn"] < 1.0
    assert pdq["recall"] == pytest.approx(sum(pdq["recalls"].values()) / 3, abs=1e-5)
    assert pdq["max_distance"] is not None
    assert pdq["recall_at"][pdq["max_distance"]] == pdq["recall"]
    assert pdq["false_match_rate_at"][pdq["max_distance"] + 1] > 0.01
    assert len(pdq["recalls_at"]["mirror"]) == 257
    assert report["recommended"] == {"hash": "pdq.upright", "max_distance": pdq["max_distance"]}
    assert not jobs.kept, "nothing is left behind"


def test_it_goes_on_where_it_was(make: Callable[..., Evaluation], objects: MemoryObjects, jobs: MemoryJobs) -> None:
    """A picture a call where time is short, each read once, by any worker: the report is the same."""
    at_once = report_of(make(), wanted())
    objects.read.clear()
    for number in (1, 2, 3):
        result = make(step=CALL_SECONDS)(wanted())
        assert (result["read"], result["total"], result["done"], result["report"]) == (number, 4, False, None)
    result = make(step=CALL_SECONDS)(wanted(false_match_rate=0.01))
    assert result["done"]
    assert result["report"] == at_once
    assert objects.read == NAMES
    assert not jobs.kept


def test_another_question_is_another_job(make: Callable[..., Evaluation], jobs: MemoryJobs) -> None:
    """But for the wanted rate, which the same hashes answer."""
    make(step=CALL_SECONDS)(wanted())
    make(step=CALL_SECONDS)(wanted(false_match_rate=0.2))
    assert {key.split(":")[1] for key in jobs.kept} == {next(iter(jobs.kept)).split(":")[1]}
    make(step=CALL_SECONDS)(wanted(seed=5))
    assert len({key.split(":")[1] for key in jobs.kept}) == 2


def test_what_cannot_be_used_is_left_out_and_said(make: Callable[..., Evaluation], objects: MemoryObjects) -> None:
    """What is missing, archived or no picture, by its key; blank pictures, and pairs of copies, by their number."""
    blank = TRANSFORMS["recompress q75"].apply(Image.new("L", (50, 50), 77), Random(1))
    objects.bodies |= {"text": b"text", "blank": blank, "again": photos()["coffee.png"]}
    objects.failing["archived"] = NotReadable("InvalidObjectState")
    result = make()(wanted(keys=[*NAMES, "gone", "text", "archived", "blank", "again"]))
    assert result["failed"].keys() == {"gone", "text", "archived"}
    report = result["report"]
    assert report is not None
    assert (report["pictures"], report["blank"], report["related_pairs"], report["unrelated_pairs"]) == (5, 1, 1, 9)


def test_too_few_is_an_error_that_says_so(
    make: Callable[..., Evaluation], jobs: MemoryJobs, objects: MemoryObjects
) -> None:
    """One picture has no false matches, and copies of one picture have none either; the next call begins anew."""
    with pytest.raises(InvalidMessage, match="needs 2 pictures"):
        make()(wanted(keys=[NAMES[0], "gone"]))
    objects.bodies["again"] = photos()[NAMES[0]]
    with pytest.raises(InvalidMessage, match="all alike"):
        make()(wanted(keys=[NAMES[0], "again"]))
    assert not jobs.kept


def test_an_unknown_transform_is_named(make: Callable[..., Evaluation]) -> None:
    """With those that there are."""
    with pytest.raises(InvalidMessage, match="no 'melt'; there are recompress"):
        make()(wanted(transforms=["melt"]))


def test_trouble_is_told_and_nothing_is_lost(
    make: Callable[..., Evaluation], objects: MemoryObjects, jobs: MemoryJobs
) -> None:
    """A store that fails for a while fails the call; the one after goes on. Two at once are refused."""
    make(step=CALL_SECONDS)(wanted())
    objects.failing[NAMES[1]] = Transient("503")
    with pytest.raises(Transient):
        make()(wanted())
    objects.failing.clear()
    jobs.busy = True
    with pytest.raises(Busy):
        make()(wanted())
    jobs.busy = False
    assert make()(wanted())["done"]
    assert objects.read.count(NAMES[0]) == 1


def test_a_tenants_pictures_are_sampled(make: Callable[..., Evaluation], objects: MemoryObjects) -> None:
    """As many as are wanted, others with another seed, over the end of the ids; all where there are fewer."""
    rows = Rows([make_row(n, 7, object_key=f"{n}.png") for n in range(30)])
    for row in rows.rows:
        objects.bodies[row.object_key] = photos()[NAMES[0]]

    def sampled(seed: int, sample: int) -> tuple[int, list[str]]:
        objects.read.clear()
        arguments = {"keys": None, "company_id": 7, "sample": sample, "seed": seed, "hashes": ["ahash"]}
        result = make(rows, step=CALL_SECONDS)(wanted(**arguments))
        return result["total"], list(objects.read)

    assert sampled(1, 5)[0] == 5
    assert len({sampled(seed, 6)[1][0] for seed in range(12)}) > 3
    assert sampled(3, 30)[0] == 30
    assert sampled(3, 100)[0] == 30


def test_hashes_are_those_of_ingest() -> None:
    """Of the original, and of each copy, whether or not both forms of a profile saw the same picture."""
    profiles = list(PROFILES.values())
    body = photos()["coffee.png"]
    transforms = list(TRANSFORMS.values())
    found = hash_variants(body, profiles, transforms, seed="s")
    again = hash_variants(body, [PROFILES["dhash"], PROFILES["dhash.upright"]], transforms, seed="s")
    hashes = {hashed.profile: hashed.vector for hashed in Fingerprinter(profiles)(body).hashes}
    assert found.original == hashes
    assert not found.blank
    assert found.turned[:32] == hashes["pdq.upright"]
    for name in ("dhash", "dhash.upright"):
        assert again.copies[name] == found.copies[name]
    exif = list(TRANSFORMS).index("exif turn")
    for profile in profiles:
        assert len(found.copies[profile.name]) == profile.bytes * len(transforms)
    assert found.copies["dhash"][8 * exif :][:8] != found.copies["dhash.upright"][8 * exif :][:8]
    assert found.copies["dhash"][: 8 * exif] == found.copies["dhash.upright"][: 8 * exif]
