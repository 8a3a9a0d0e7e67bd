"""Milvus is unpacked once, whole, and as its wheel says."""

import base64
import hashlib
import lzma
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import Distribution, PackagePath
from pathlib import Path

import pytest

from devstack import StackError, milvus_binary
from devstack.milvus_binary import unpacked

CONTENTS = {"milvus": b"the server", "libz.so.1": b"a library"}


class Wheel(Distribution):
    """An installed wheel with two packed files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._records = []
        for name, content in CONTENTS.items():
            packed = lzma.compress(content)
            (folder / f"{name}.lzma").write_bytes(packed)
            digest = base64.urlsafe_b64encode(hashlib.sha256(packed).digest()).rstrip(b"=").decode()
            self._records.append(f"{name}.lzma,sha256={digest},{len(packed)}\n")

    def read_text(self, filename: str) -> str | None:
        """The wheel's metadata."""
        return {"RECORD": "".join(self._records), "METADATA": "Name: milvus\nVersion: 2.3.5\n"}.get(filename)

    def locate_file(self, path: object) -> Path:
        """Where a file of the wheel is."""
        return self._folder / str(path)


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an installed wheel; the cache is in `tmp_path/cache`."""
    folder = tmp_path / "wheel"
    folder.mkdir()
    installed = Wheel(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(milvus_binary, "files", lambda _name: installed.files)
    monkeypatch.setattr(milvus_binary, "version", lambda _name: "2.3.5")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """What a folder holds of the wheel."""
    return {name: (folder / name).read_bytes() for name in CONTENTS}


def test_it_is_unpacked_into_the_cache_once(wheel: Path, tmp_path: Path) -> None:
    """The first call unpacks, executable and nothing beside it; the next does not read the wheel's files any more."""
    folder = unpacked(tmp_path / "fallback")
    assert folder == tmp_path / "cache" / "lookalike" / "milvus-2.3.5"
    assert contents(folder) == CONTENTS
    assert (folder / "milvus").stat().st_mode & 0o100
    assert list(folder.parent.iterdir()) == [folder]
    for file in wheel.iterdir():
        file.write_bytes(b"")
    assert unpacked(tmp_path / "fallback") == folder


def test_many_at_once_all_get_it_whole(wheel: Path, tmp_path: Path) -> None:
    """Whoever asks while others unpack gets the same whole folder, and nothing unfinished is left."""
    assert wheel.is_dir()
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(lambda _number: unpacked(tmp_path / "fallback"), range(64)))
    (folder,) = found
    assert contents(folder) == CONTENTS
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("damage", ["changed", "missing", "no manifest"])
def test_a_damaged_copy_is_replaced(wheel: Path, tmp_path: Path, damage: str) -> None:
    """A copy whose files are not as they were unpacked is unpacked anew."""
    assert wheel.is_dir()
    folder = unpacked(tmp_path / "fallback")
    if damage == "changed":
        (folder / "libz.so.1").write_bytes(b"a libr@ry")
    else:
        (folder / ("milvus" if damage == "missing" else "manifest.json")).unlink()
    assert contents(unpacked(tmp_path / "fallback")) == CONTENTS
    assert list(folder.parent.iterdir()) == [folder]


def test_a_home_that_cannot_be_written_is_no_obstacle(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no cache it is unpacked into the stack's own folder."""
    assert wheel.is_dir()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert contents(unpacked(tmp_path / "fallback")) == CONTENTS
    assert (tmp_path / "fallback" / "milvus-2.3.5").is_dir()


def test_a_damaged_wheel_is_refused(wheel: Path, tmp_path: Path) -> None:
    """A packed file that is not what the wheel's RECORD says is not unpacked."""
    (wheel / "milvus.lzma").write_bytes(lzma.compress(b"another server"))
    with pytest.raises(StackError, match="damaged"):
        unpacked(tmp_path / "fallback")
    assert not list((tmp_path / "cache" / "lookalike").iterdir())


def test_without_the_wheel_the_error_says_what_to_install(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without `lookalike[dev]` is told of it."""
    nothing: list[PackagePath] = []
    monkeypatch.setattr(milvus_binary, "files", lambda _name: nothing)
    with pytest.raises(StackError, match=r"pip install 'lookalike\[dev\]'"):
        unpacked(wheel)
