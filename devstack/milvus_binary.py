"""The Milvus server, unpacked from the `milvus` wheel once for all stacks of a user."""

import base64
import hashlib
import json
import lzma
import os
import secrets
import shutil
from importlib.metadata import PackageNotFoundError, PackagePath, files, version
from pathlib import Path
from typing import Final

from devstack.errors import StackError

_DISTRIBUTION: Final = "milvus"
_PACKED_SUFFIX: Final = ".lzma"
_MANIFEST: Final = "manifest.json"
_EXECUTABLE: Final = 0o755


def unpacked(fallback: Path) -> Path:
    """Give the folder with the executable `milvus` and the libraries it needs, unpacked where that was not done yet.

    The folder is `$XDG_CACHE_HOME/lookalike/milvus-<version>`; under `fallback` where that cannot be written. It
    appears whole or not at all, so that several processes may do this at once. Its files are checked by digest each
    time.

    Raises:
        StackError: the wheel is missing or damaged, or neither place can be written.
    """
    packed = _packed()
    name = f"milvus-{version(_DISTRIBUTION)}"
    problems = []
    for parent in (_cache(), fallback):
        folder = parent / name
        if _is_whole(folder, packed):
            return folder
        try:
            parent.mkdir(parents=True, exist_ok=True)
            _unpack(packed, folder)
        except OSError as error:
            problems.append(str(error))
        else:
            return folder
    raise StackError(f"Milvus cannot be unpacked: {'; '.join(problems)}")


def _cache() -> Path:
    given = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG base directory specification: a relative path is to be ignored.
    base = Path(given) if Path(given).is_absolute() else Path("~/.cache").expanduser()
    return base / "lookalike"


def _packed() -> dict[str, PackagePath]:
    """List the packed files of the wheel by the names that they unpack to."""
    try:
        listed = files(_DISTRIBUTION) or []
    except PackageNotFoundError:
        listed = []
    packed = {path.stem: path for path in listed if path.suffix == _PACKED_SUFFIX}
    if "milvus" not in packed:
        raise StackError("the wheel `milvus` (Linux x86-64) is not installed: pip install 'lookalike[dev]'")
    return packed


def _unpack(packed: dict[str, PackagePath], folder: Path) -> None:
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.{secrets.token_hex(4)}")
    unfinished.mkdir()
    try:
        digests = {name: _unpack_one(path, unfinished / name) for name, path in packed.items()}
        (unfinished / _MANIFEST).write_text(json.dumps(digests, indent=1))
        if folder.exists() and not _is_whole(folder, packed):
            damaged = unfinished.with_name(f"{unfinished.name}.damaged")
            folder.rename(damaged)
            shutil.rmtree(damaged, ignore_errors=True)
        try:
            unfinished.rename(folder)
        except OSError:
            # Another process was faster.
            if not _is_whole(folder, packed):
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _unpack_one(path: PackagePath, target: Path) -> str:
    """Unpack a file that is as the wheel's RECORD says; the digest of what it unpacked to."""
    packed = Path(str(path.locate())).read_bytes()
    if path.hash is not None and path.hash.mode == "sha256":
        found = hashlib.sha256(packed).digest()
        if found != _from_record(path.hash.value):
            raise StackError(f"{path.locate()} is damaged: install the wheel `milvus` again")
    content = lzma.decompress(packed)
    target.write_bytes(content)
    target.chmod(_EXECUTABLE)
    return hashlib.sha256(content).hexdigest()


def _from_record(value: str) -> bytes:
    return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))


def _is_whole(folder: Path, packed: dict[str, PackagePath]) -> bool:
    try:
        digests = json.loads((folder / _MANIFEST).read_text())
        return digests.keys() == packed.keys() and all(
            _digest(folder / name) == digest for name, digest in digests.items()
        )
    except (OSError, ValueError, AttributeError):
        return False


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
