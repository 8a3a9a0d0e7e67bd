"""The variables of a stack, for shells and for programs."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devstack import StackError, environment, milvus
from devstack.acl import LISTENER, MONITOR, PRODUCER
from devstack.identity import MARK
from devstack.plan import make_passwords
from devstack.private import write_private
from devstack.programs import FLOWER, Kind, Program
from devstack.state import State

# What an environment can hold: all of UTF-8 but NUL.
values = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def a_state(*names: str) -> State:
    """A stack that runs these programs."""
    programs = {name: Program(name=name, kind=Kind(name), command=("true",), directory=Path("/")) for name in names}
    ports = {Kind.VALKEY: 20001, milvus.PROXY: 20002, Kind.OSS: 20003, FLOWER: 20004}
    return State(socket=Path("/s"), programs=programs, ports={str(name): port for name, port in ports.items()})


def read_by_sh(file: Path, *names: str) -> list[str]:
    """Values of variables in a process that a shell starts after it has read the file."""
    printing = "import os, sys; sys.stdout.buffer.write(b'\\0'.join(os.fsencode(os.environ[n]) for n in sys.argv[1:]))"
    script = 'set -a; . "$1"; shift; exec python3 -c "$PRINTING" "$@"'
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", str(file), *names],
        env={"PATH": "/usr/bin:/bin", "PRINTING": printing},
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().split("\0")


def test_a_shell_reads_every_value_as_it_was(tmp_path: Path) -> None:
    """`set -a; . env` gives a child of the shell each value unchanged, whatever characters it has."""

    @given(st.lists(values, min_size=1, max_size=20))
    def holds(texts: list[str]) -> None:
        names = [f"LOOKALIKE_{number}" for number in range(len(texts))]
        write_private(tmp_path / "env", environment.render(dict(zip(names, texts, strict=True))))
        assert read_by_sh(tmp_path / "env", *names) == texts

    holds()


def test_the_file_is_its_owners(tmp_path: Path) -> None:
    """Nobody but the owner can read the file, which holds the credentials."""
    write_private(tmp_path / "env", "A=b\n")
    assert (tmp_path / "env").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["", "A B", "A;rm", "1A", "A=B", "Ä"])
def test_only_names_of_variables_are_written(name: str) -> None:
    """A name that a shell would take for something else is refused."""
    with pytest.raises(StackError, match="no name of a shell variable"):
        environment.render({name: "value"})


def test_a_whole_stack_defines_the_names_of_the_contract() -> None:
    """A stack with everything defines exactly the variables that workers and applications read."""
    found = environment.variables(a_state("valkey", "milvus", "oss", "flower"))
    assert found.keys() == environment.DEFINED - {"LOOKALIKE_MILVUS_TOKEN", "LOOKALIKE_MILVUS_CA"}
    assert found["LOOKALIKE_BROKER_URL"] == "redis://127.0.0.1:20001/0"
    assert found["LOOKALIKE_RESULT_BACKEND_URL"] == "redis://127.0.0.1:20001/1"
    assert found["LOOKALIKE_LEDGER_URL"] == "redis://127.0.0.1:20001/2"
    assert found["LOOKALIKE_MILVUS_URI"] == "http://127.0.0.1:20002"
    assert found["LOOKALIKE_OSS_ENDPOINT"] == "http://127.0.0.1:20003"
    assert found["LOOKALIKE_OSS_BUCKET"] == "pictures"
    assert found["LOOKALIKE_OSS_REGION"] == "cn-hangzhou"
    assert found["LOOKALIKE_FLOWER_URL"] == "http://127.0.0.1:20004"


def test_a_secure_stack_tells_each_role_what_it_needs() -> None:
    """A worker is told all; others no secret of Milvus and the bucket, and of Flower's only a monitor."""
    state = a_state("valkey", "milvus", "oss", "flower")
    state.certificates = Path("/d/tls")
    state.passwords = make_passwords()
    worker = environment.variables(state)
    assert worker.keys() == environment.DEFINED
    assert worker["LOOKALIKE_MILVUS_URI"] == "https://127.0.0.1:20002"
    assert worker["LOOKALIKE_BROKER_URL"].startswith("rediss://worker:")
    assert worker["LOOKALIKE_BROKER_URL"].endswith(
        "@127.0.0.1:20001/0?ssl_ca_certs=/d/tls/ca.pem&ssl_cert_reqs=required"
    )
    for role in (PRODUCER, LISTENER, MONITOR):
        found = environment.variables(state, role)
        assert found["LOOKALIKE_LEDGER_URL"].startswith(f"rediss://{role}:")
        assert not [name for name in found if "MILVUS" in name or "OSS" in name]
        assert ("FLOWER_BASIC_AUTH" in found) == (role == MONITOR)


def test_a_service_that_does_not_run_has_no_address() -> None:
    """A stack with Valkey alone says nothing of Milvus and OSS, though it remembers their ports."""
    found = environment.variables(a_state("valkey"))
    assert not {name for name in found if "MILVUS" in name or "LOOKALIKE_OSS" in name}


def test_a_password_is_in_the_addresses_percent_encoded() -> None:
    """The addresses of Valkey carry its password so that any client can read it."""
    state = a_state("valkey")
    state.valkey_password = "a/b@c:d"  # noqa: S105 - not one of ours
    assert environment.variables(state)["LOOKALIKE_LEDGER_URL"] == "redis://:a%2Fb%40c%3Ad@127.0.0.1:20001/2"


def test_programs_get_our_addresses_and_the_callers_other_variables() -> None:
    """A program finds what the caller has, but no address or credential other than the stack's."""
    caller = {
        "PATH": "/bin",
        "LOOKALIKE_MILVUS_URI": "http://production",
        "LOOKALIKE_HASH": "ahash",
        "OSS_SESSION_TOKEN": "t",
        "no_proxy": "example.com",
    }
    given = environment.for_programs(caller, {"LOOKALIKE_BROKER_URL": "ours"})
    assert given == {
        "PATH": "/bin",
        "LOOKALIKE_BROKER_URL": "ours",
        "no_proxy": "example.com,127.0.0.1,localhost",
        "NO_PROXY": "127.0.0.1,localhost",
    }


def test_workers_are_tuned_by_what_the_stack_does_not_define() -> None:
    """Of the caller's variables LOOKALIKE_HASH tunes the workers; an address and another stack's mark do not."""
    caller = {"LOOKALIKE_HASH": "ahash", "LOOKALIKE_BROKER_URL": "x", MARK: "y", "PATH": "/bin"}
    assert environment.tuning(caller) == {"LOOKALIKE_HASH": "ahash"}
