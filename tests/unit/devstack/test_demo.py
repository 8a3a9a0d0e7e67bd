"""The demo checks itself: what is wrong does not look right."""

from collections.abc import Sequence
from typing import Any

import pytest

from contract import Match
from devstack.demo import ORIGINAL, DemoFailed, Upload, check, make_uploads

UPLOADS = list(make_uploads())
ORIGINALS = [upload for upload in UPLOADS if upload.change == ORIGINAL]
COPY = next(upload for upload in UPLOADS if upload.change == "cropped")


def match(upload: Upload, distance: int = 0) -> Match:
    """A match that is a picture of the demo."""
    event = upload.event
    return Match(
        id=0,
        meta_id=event.meta_id,
        company_id=event.company_id,
        distance=distance,
        object_key=event.object_key,
        quality=100,
        chance=0.0,
        count=1,
        members=[],
    )


def original_of(copy: Upload) -> Upload:
    """The photo that a copy was made of."""
    company = copy.event.company_id
    return next(one for one in ORIGINALS if (one.photo, one.event.company_id) == (copy.photo, company))


def test_the_uploads_are_two_companies_that_share_photos() -> None:
    """Each photo has an original and four copies, every picture a key and an id of its own."""
    photos = {company: {u.photo for u in UPLOADS if u.event.company_id == company} for company in (1, 2)}
    assert len(photos[1] & photos[2]) == 4
    assert len(UPLOADS) == 5 * (len(photos[1]) + len(photos[2]))
    assert len({upload.event.object_key for upload in UPLOADS}) == len(UPLOADS)
    assert len({(u.event.company_id, u.event.meta_id) for u in UPLOADS}) == len(UPLOADS)


def test_a_right_answer_passes() -> None:
    """The original within the bound, and other photos beyond it."""
    stranger = next(
        one for one in ORIGINALS if one.photo != COPY.photo and one.event.company_id == COPY.event.company_id
    )
    check(UPLOADS, {COPY: [match(COPY), match(original_of(COPY), 3), match(stranger, 17)]})


def wrong_answers() -> dict[str, Sequence[Any]]:
    """What a search must not find."""
    company = COPY.event.company_id
    stranger = next(one for one in ORIGINALS if one.photo != COPY.photo and one.event.company_id == company)
    foreign = next(one for one in UPLOADS if one.event.company_id != company)
    right = [match(COPY), match(original_of(COPY))]
    return {
        "did not find its original": [match(COPY)],
        "did not find its original ": [match(original_of(COPY), 11)],
        "found a picture of another company": [*right, match(foreign, 60)],
        f"found {stranger.photo}": [*right, match(stranger, 10)],
    }


@pytest.mark.parametrize(("said", "matches"), wrong_answers().items())
def test_a_wrong_answer_fails_and_is_said(said: str, matches: Sequence[Match]) -> None:
    """No original, one too far away, another company's picture, another photo: each is named."""
    with pytest.raises(DemoFailed, match=said.strip()):
        check(UPLOADS, {COPY: matches})
