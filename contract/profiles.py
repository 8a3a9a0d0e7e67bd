"""The hash profiles: what can be computed of a picture, and compared. Each has a collection of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from contract.errors import InvalidMessage

_UPRIGHT: Final = ".upright"


@dataclass(frozen=True, slots=True)
class Profile:
    """A way from a picture to a vector.

    Attributes:
        name: as it is written in settings, messages and results.
        bits: the length of its vectors.
    """

    name: str
    bits: int

    @property
    def upright(self) -> bool:
        """Whether the picture is hashed as it is shown.

        Its EXIF orientation is applied, transparency is laid over white, and 16 bits a sample are scaled to 8.
        """
        return self.name.endswith(_UPRIGHT)

    @property
    def algorithm(self) -> str:
        """The hash itself: the name without the form."""
        return self.name.removesuffix(_UPRIGHT)

    @property
    def bytes(self) -> int:
        """The length of its vectors in bytes."""
        return self.bits // 8


def _both(name: str, bits: int) -> Sequence[Profile]:
    return Profile(name, bits), Profile(f"{name}{_UPRIGHT}", bits)


# `ahash` is the reference. `ahash_draft` is faster, and not the same.
PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            *_both("ahash", 64),
            *_both("dhash", 64),
            *_both("phash", 64),
            *_both("pdq", 256),
            Profile("ahash_draft", 64),
        )
    }
)

MAX_BITS: Final = max(profile.bits for profile in PROFILES.values())


def profile_named(name: str) -> Profile:
    """Find a profile.

    Raises:
        InvalidMessage: there is none of that name.
    """
    profile = PROFILES.get(name)
    if profile is None:
        raise InvalidMessage(f"hash: there is no profile {name!r}; there are {', '.join(PROFILES)}")
    return profile
