"""Thumbnails: which pictures are asked for, and what comes back."""

from typing import Annotated, Any, Final, Self, TypedDict

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from contract.errors import InvalidMessage
from contract.messages import MAX_EVENTS, ImageBytes, Int64, ObjectKey, Version

MIN_SIDE: Final = 32
MAX_SIDE: Final = 512
DEFAULT_SIDE: Final = 256


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)


class Pictured(_Strict):
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


class Thumbnailing(_Strict):
    """1 to 100 pictures to be shown, each at the most `side` pixels wide and high, 32 to 512."""

    items: Annotated[tuple[Pictured, ...], Field(strict=False, min_length=1, max_length=MAX_EVENTS)]
    side: Annotated[int, Field(strict=True, ge=MIN_SIDE, le=MAX_SIDE)] = DEFAULT_SIDE
    version: Version = 1


class ThumbnailsResult(TypedDict):
    """For each item, in the order asked: a JPEG in base64 or None, and why there is none or None."""

    thumbnails: list[str | None]
    errors: list[str | None]


def decode_thumbnails(arguments: Any) -> Thumbnailing:
    """Decode a call for thumbnails.

    Raises:
        InvalidMessage: naming the field.
    """
    try:
        return Thumbnailing.model_validate(arguments)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False, include_context=False)
        told = [f"{'.'.join(map(str, each['loc']))}: {each['msg'].removeprefix('Value error, ')}" for each in details]
        raise InvalidMessage("; ".join(told)) from None
