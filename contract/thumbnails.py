"""Thumbnails: which pictures are asked for, and what comes back."""

from typing import Annotated, Any, Final, Self, TypedDict

from pydantic import Field, model_validator

from contract.decoding import MAX_EVENTS, ImageBytes, Int64, ObjectKey, Strict, Versioned, decode_as

MIN_SIDE: Final = 32
MAX_SIDE: Final = 512
DEFAULT_SIDE: Final = 256


class Pictured(Strict):
    """A picture to be shown: one that is indexed (`meta_id` and `company_id`), an object, or an image in base64."""

    meta_id: Int64 | None = None
    company_id: Int64 | None = None
    object_key: ObjectKey | None = None
    image: ImageBytes | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.meta_id is None) != (self.company_id is None):
            raise ValueError("a picture is known by its meta_id and its company_id")
        if sum(source is not None for source in (self.meta_id, self.object_key, self.image)) != 1:
            raise ValueError("one of meta_id with company_id, object_key, image is needed")
        return self


class Thumbnailing(Versioned):
    """1 to 100 pictures to be shown, each at the most `side` pixels wide and high, 32 to 512."""

    items: Annotated[tuple[Pictured, ...], Field(strict=False, min_length=1, max_length=MAX_EVENTS)]
    side: Annotated[int, Field(strict=True, ge=MIN_SIDE, le=MAX_SIDE)] = DEFAULT_SIDE


class ThumbnailsResult(TypedDict):
    """For each item, in the order asked: a JPEG in base64 or None, and why there is none or None."""

    thumbnails: list[str | None]
    errors: list[str | None]


def decode_thumbnails(arguments: Any) -> Thumbnailing:
    """Decode a call for thumbnails.

    Raises:
        InvalidMessage: naming the field.
    """
    return decode_as(Thumbnailing, arguments)
