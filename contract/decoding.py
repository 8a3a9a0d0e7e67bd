"""How messages are decoded: strictly, with errors that name the field, and the types of what stands in them.

Nothing is coerced: `True`, `7.0` and `"7"` are no ids.
"""

import binascii
from typing import Annotated, Final, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from contract.errors import InvalidMessage
from contract.profiles import MAX_BITS, profile_named
from contract.templates import key_template

VERSION: Final = 1
MAX_EVENTS: Final = 100
MAX_LIMIT: Final = 1000
MAX_MEMBERS: Final = 100
MAX_KEY_BYTES: Final = 1023  # OSS: "Object naming conventions"
MAX_ID_TEXT: Final = 64  # longer than any number of 64 bits

Int64 = Annotated[int, Field(strict=True, ge=-(2**63), le=2**63 - 1)]


def within_key_bytes(key: str) -> str:
    """Check that a key, or a part of one, is no longer than OSS admits."""
    if len(key.encode()) > MAX_KEY_BYTES:
        raise ValueError(f"an OSS object key has at most {MAX_KEY_BYTES} bytes of UTF-8")
    return key


def _from_base64(value: object) -> object:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("an image is base64 in a string")  # noqa: TRY004 - pydantic reports ValueError, not TypeError
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"not base64: {error}") from None


def _from_hex(value: object) -> object:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("a vector is hexadecimal in a string")  # noqa: TRY004 - as above
    try:
        return binascii.unhexlify(value)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"not hexadecimal: {error}") from None


def _known(version: int) -> int:
    if version != VERSION:
        raise ValueError(f"the version of the contract is {VERSION}, not {version}")
    return version


def _profile_name(name: str) -> str:
    try:
        return profile_named(name).name
    except InvalidMessage as error:
        raise ValueError(str(error).removeprefix("hash: ")) from None


def _template(text: str) -> str:
    try:
        return key_template(text).text
    except InvalidMessage as error:
        raise ValueError(str(error)) from None


# Not Literal[1], which takes True and 1.0 for 1.
Version = Annotated[int, Field(strict=True), AfterValidator(_known)]
ObjectKey = Annotated[str, Field(strict=True, min_length=1), AfterValidator(within_key_bytes)]
ImageBytes = Annotated[bytes, BeforeValidator(_from_base64), Field(min_length=1)]
ProfileName = Annotated[str, Field(strict=True), AfterValidator(_profile_name)]
MaxDistance = Annotated[int, Field(strict=True, ge=0, le=MAX_BITS)]
MaxChance = Annotated[float, Field(ge=0, allow_inf_nan=False)]
IdText = Annotated[str, Field(strict=True, max_length=MAX_ID_TEXT)]
KeyTemplateText = Annotated[str, Field(strict=True), AfterValidator(_template)]
CollectionName = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=255)]
VectorBytes = Annotated[bytes, BeforeValidator(_from_hex), Field(min_length=1)]


class Strict(BaseModel):
    """Data that is what it is declared to be, and nothing more."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)


class Versioned(Strict):
    """A message."""

    version: Version = VERSION


_Model = TypeVar("_Model", bound=BaseModel)


def decode_as(model: type[_Model], raw: object) -> _Model:
    """Decode data.

    Raises:
        InvalidMessage: naming each field that does not fit.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise InvalidMessage("; ".join(_explain(error))) from None


def _explain(error: ValidationError) -> list[str]:
    details = error.errors(include_url=False, include_input=False, include_context=False)
    return [
        ": ".join(filter(None, (".".join(map(str, detail["loc"])), detail["msg"].removeprefix("Value error, "))))
        for detail in details
    ]
