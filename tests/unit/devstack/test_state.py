"""What a stack remembers."""

import tempfile
from pathlib import Path

import pytest

from devstack import StackError, state
from devstack.programs import make_worker
from devstack.state import MAX_SOCKET_BYTES, State


def test_the_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Ports, credentials and programs come back from the file, which is its owner's only."""
    known = State(socket=tmp_path / "s", ports={"valkey": 20_000})
    known.programs = {"ingest1": make_worker("ingest1", "ingest", 16, tmp_path, {"LOOKALIKE_HASH": "ahash"})}
    state.save(tmp_path / "state.json", known)
    assert state.load(tmp_path / "state.json") == known
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o600


def test_a_folder_without_a_state_was_never_started(tmp_path: Path) -> None:
    """No file, no state."""
    assert state.load(tmp_path / "state.json") is None


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    """The error names the file, and says how to begin anew."""
    (tmp_path / "state.json").write_text('{"ports": "no"}')
    with pytest.raises(StackError, match=r"state\.json is not a state .* remove it"):
        state.load(tmp_path / "state.json")


def test_every_stack_has_credentials_of_its_own() -> None:
    """Two new stacks share neither their credentials nor their mark."""
    one, other = State(socket=Path("/s")), State(socket=Path("/s"))
    assert one.access_key_id != other.access_key_id
    assert one.access_key_secret != other.access_key_secret
    assert one.stack_id != other.stack_id


def test_a_long_folder_gets_its_socket_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the path is too long for a socket, it is in a private folder, which goes with it."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    folder = tmp_path / ("x" * (MAX_SOCKET_BYTES - len(bytes(tmp_path)) - len("/") + 1))
    socket = state.socket_in(folder)
    assert len(bytes(socket)) <= MAX_SOCKET_BYTES
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    state.forget_socket(folder, socket)
    assert not socket.parent.exists()


def test_a_short_folder_holds_its_socket(tmp_path: Path) -> None:
    """Otherwise it is in the stack's folder, which stays when the socket goes."""
    folder = Path("/s")
    assert state.socket_in(folder) == folder / "supervisor.sock"
    state.forget_socket(tmp_path, tmp_path / "supervisor.sock")
    assert tmp_path.exists()
