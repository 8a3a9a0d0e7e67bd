"""What `lookalike.evaluate` is asked, and what it answers."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Self, TypedDict

from pydantic import AfterValidator, Field, model_validator

from contract.decoding import Int64, ObjectKey, ProfileName, Versioned, decode_as
from contract.profiles import PROFILES

MAX_SAMPLE: Final = 1000
DEFAULT_SAMPLE: Final = 200
DEFAULT_FALSE_MATCH_RATE: Final = 1e-4
# `ahash_draft` is the average hash, computed less exactly.
EVALUATED: Final = tuple(name for name in PROFILES if name != "ahash_draft")


def _distinct(names: list[str]) -> list[str]:
    if len(set(names)) != len(names):
        raise ValueError("a name is given twice")
    return names


Keys = Annotated[list[ObjectKey], Field(min_length=2, max_length=MAX_SAMPLE), AfterValidator(_distinct)]
ProfileNames = Annotated[list[ProfileName], Field(min_length=1), AfterValidator(_distinct)]
TransformNames = Annotated[list[str], Field(min_length=1), AfterValidator(_distinct)]


class Evaluating(Versioned):
    """What to evaluate on what.

    Attributes:
        company_id: the tenant whose pictures are sampled.
        keys: objects to take in place of a sample; they need not be indexed.
        sample: how many pictures to take at the most.
        hashes: the profiles, each once.
        transforms: by name, which copies to make; None: all there are.
        false_match_rate: the share of the pairs of unrelated pictures that may match.
        seed: of the sample, and of what is random in the copies.
    """

    company_id: Int64 | None = None
    keys: Keys | None = None
    sample: Annotated[int, Field(strict=True, ge=2, le=MAX_SAMPLE)] = DEFAULT_SAMPLE
    hashes: ProfileNames = Field(default_factory=lambda: list(EVALUATED))
    transforms: TransformNames | None = None
    false_match_rate: Annotated[float, Field(gt=0, le=0.5)] = DEFAULT_FALSE_MATCH_RATE
    seed: Int64 = 0

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.company_id is None) == (self.keys is None):
            raise ValueError("company_id or keys: exactly one of them")
        return self


class ProfileEvaluation(TypedDict):
    """How well a profile did.

    Attributes:
        hash: the profile.
        bits: the length of its vectors.
        max_distance: the largest distance, in bits, at which no more than the wanted share of unrelated pairs match;
            None where there is none.
        recall: the share of copies found within it, the mean over the transforms; 0 where there is none.
        false_match_rate: the share of unrelated pairs that match within it; 0 where there is none.
        upper_bound: what that rate may really be, with 95 % confidence.
        recalls: `recall` of each transform by its name.
        recall_at: recall within each distance from 0 to `bits`.
        false_match_rate_at: the same for the false-match rate.
        recalls_at: the same for the recall of each transform.
    """

    hash: str
    bits: int
    max_distance: int | None
    recall: float
    false_match_rate: float
    upper_bound: float
    recalls: dict[str, float]
    recall_at: list[float]
    false_match_rate_at: list[float]
    recalls_at: dict[str, list[float]]


class Recommendation(TypedDict):
    """The profile that finds most copies at the wanted false-match rate, and the distance to search within."""

    hash: str
    max_distance: int


class EvaluationReport(TypedDict):
    """What was measured.

    Attributes:
        pictures: how many were used.
        blank: how many more were left out, because there is too little in them to compare.
        transforms: the names of the copies that were made of each.
        unrelated_pairs: pairs of originals that were counted as unrelated.
        related_pairs: pairs that were left out, because they seem to show the same.
        pairs_needed: of unrelated ones, for the wanted rate to be measured to about a third.
        false_match_rate: the wanted rate.
        profiles: in the order asked.
        recommended: None where no profile finds anything at that rate.
    """

    pictures: int
    blank: int
    transforms: list[str]
    unrelated_pairs: int
    related_pairs: int
    pairs_needed: int
    false_match_rate: float
    profiles: list[ProfileEvaluation]
    recommended: Recommendation | None


class EvaluationResult(TypedDict):
    """How far an evaluation is.

    Attributes:
        read: pictures that were read, those that failed included.
        total: how many are to be read.
        failed: why some could not be used, by object key.
        done: whether this was the last call.
        report: with the last call.
    """

    read: int
    total: int
    failed: dict[str, str]
    done: bool
    report: EvaluationReport | None


def decode_evaluate(arguments: Mapping[str, Any]) -> Evaluating:
    """Decode a call for a part of an evaluation. It raises `InvalidMessage`."""
    return decode_as(Evaluating, arguments)
