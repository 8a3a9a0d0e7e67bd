"""What made a collection's vectors, and whether this worker makes the same."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final, Self

from contract import Profile
from worker.core.canaries import PREPROCESSING, canary_digests, versions

_DESCRIPTION_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a collection says of itself in its description: how its rows are routed, and what made its vectors.

    Attributes:
        hash: the profile's name.
        partitions: how many tenant partitions there are, so that every worker routes rows the same way.
        preprocessing: the version of our own steps before the hash.
        versions: of the libraries that take part.
        canaries: digests of the vectors of the canary pictures, by their names.
    """

    hash: str
    partitions: int
    preprocessing: int
    versions: Mapping[str, str]
    canaries: Mapping[str, str]

    def dump(self) -> str:
        """Write it as the description of a collection."""
        return json.dumps({"lookalike": _DESCRIPTION_VERSION, **asdict(self)})

    @classmethod
    def load(cls, description: str) -> Self | None:
        """Read a description; None where it is not one of ours."""
        try:
            said = json.loads(description)
            if said["lookalike"] != _DESCRIPTION_VERSION:
                return None
            return cls(
                str(said["hash"]),
                int(said["partitions"]),
                int(said["preprocessing"]),
                dict(said["versions"]),
                dict(said["canaries"]),
            )
        except (ValueError, KeyError, TypeError):
            return None

    def changes(self, made: Self) -> list[str]:
        """Say why a worker that makes `made` must not write here; nothing where its vectors are the same.

        Libraries of other versions are named as the cause, and are none by themselves.
        """
        if self.hash != made.hash:
            return [f"it holds hashes of the profile {self.hash}, not {made.hash}"]
        changed = sorted(
            name for name, digest in self.canaries.items() if name in made.canaries and made.canaries[name] != digest
        )
        if self.preprocessing == made.preprocessing and not changed:
            return []
        said = [f"this worker hashes otherwise than the one that made it ({self._other_versions(made)})"]
        if changed:
            said.append(f"canary pictures that differ: {', '.join(changed)}")
        return said

    def _other_versions(self, made: Self) -> str:
        versions = {"preprocessing": str(self.preprocessing), **self.versions}
        now = {"preprocessing": str(made.preprocessing), **made.versions}
        other = [
            f"{name} {versions[name]}, now {now.get(name)}" for name in versions if versions[name] != now.get(name)
        ]
        return "; ".join(other) or "with the same versions of the libraries"


def made_here(profile: Profile, partitions: int) -> Provenance:
    """What a collection is that this worker makes. Its canary pictures are hashed for that, once in a process."""
    return Provenance(profile.name, partitions, PREPROCESSING, versions(profile), canary_digests(profile))
