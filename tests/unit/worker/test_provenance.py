"""What a collection says of what made its vectors, and when a worker must not write to it."""

from dataclasses import replace

import pytest

from contract import PROFILES, Profile
from worker.core.provenance import Provenance, made_here

MADE = Provenance("ahash", 16, 1, {"pillow": "13.0.0", "numpy": "2.3"}, {"wide": "aa", "tall": "bb"})


def test_provenance_survives_its_description() -> None:
    """What a collection says of itself is read back."""
    assert Provenance.load(MADE.dump()) == MADE


@pytest.mark.parametrize(
    "description",
    [
        "",
        "my pictures",
        "[]",
        "{}",
        "null",
        '{"lookalike": 1}',
        '{"lookalike": 2}',
        '{"lookalike": 1, "hash": "ahash"}',
    ],
)
def test_a_strange_description_is_not_ours(description: str) -> None:
    """A collection of somebody else's making has no provenance."""
    assert Provenance.load(description) is None


def test_other_libraries_that_hash_the_same_are_no_change() -> None:
    """A version by itself changes no vector; the canary pictures tell."""
    assert MADE.changes(replace(MADE, versions={"pillow": "14.0.0"}, partitions=4)) == []


def test_canaries_that_were_not_there_are_no_change() -> None:
    """A later release may have more of them."""
    assert MADE.changes(replace(MADE, canaries={**MADE.canaries, "deep": "cc"})) == []


def test_what_changed_is_said() -> None:
    """The pictures that are hashed otherwise, and the libraries that may be why."""
    (cause, pictures) = MADE.changes(
        replace(MADE, versions={"pillow": "14.0.0", "numpy": "2.3"}, canaries={"wide": "aa", "tall": "xx"})
    )
    assert "pillow 13.0.0, now 14.0.0" in cause
    assert "numpy" not in cause
    assert pictures == "canary pictures that differ: tall"


def test_another_preprocessing_is_a_change() -> None:
    """Even where no canary shows it."""
    (cause,) = MADE.changes(replace(MADE, preprocessing=2))
    assert "preprocessing 1, now 2" in cause


def test_another_profile_is_a_change() -> None:
    """Its vectors mean something else."""
    assert MADE.changes(replace(MADE, hash="phash")) == ["it holds hashes of the profile ahash, not phash"]


@pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
def test_this_worker_makes_what_it_made(profile: Profile) -> None:
    """Canaries are the same every time, and a collection says which libraries they are of."""
    made = made_here(profile, 16)
    assert made.changes(made_here(profile, 16)) == []
    assert made.canaries
    assert made.versions["pillow"]
