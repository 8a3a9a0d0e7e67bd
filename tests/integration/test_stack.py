"""The development stack starts, comes back with its data, and leaves nothing behind."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import oss2
import psutil
import pytest
import redis
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException

from devstack import ServiceDied, Stack, StackError, identity, supervision
from devstack.identity import ProcessId
from tests.integration.processes import eventually

PROGRAM = str(Path(sys.executable).parent / "lookalike")
VALKEY = ("valkey",)
COLLECTION = "rows"
VECTOR = b"\x01" * 8


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for a stack, which is down when the test ends."""
    folder = tmp_path / "stack"
    yield folder
    Stack(folder).down()


@pytest.fixture
def lookalike(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the program as a user would, from some other folder than the checkout."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAM, *arguments],
            cwd=tmp_path,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


def remembered(folder: Path) -> dict[str, Any]:
    """What a stack remembers."""
    found: dict[str, Any] = json.loads((folder / "state.json").read_text())
    return found


def processes(folder: Path) -> dict[ProcessId, str]:
    """All processes of a stack: with its mark in their environment, or with its folder in their arguments."""
    found = identity.marked(remembered(folder)["stack_id"])
    for process in psutil.process_iter(["cmdline"]):
        named = ProcessId.of(process.pid)
        if named is not None and any(str(folder) in argument for argument in process.info["cmdline"] or ()):
            found.setdefault(named, "")
    return found


def kill_supervisor(folder: Path) -> None:
    """Kill supervisord, and nothing else."""
    supervisor = ProcessId.model_validate(remembered(folder)["supervisor"])
    identity.send(supervisor, signal.SIGKILL, seconds=10)
    assert not supervisor.alive()


def ledger(stack: Stack) -> Any:
    """A client of a stack's Valkey, to be closed."""
    return closing(redis.Redis.from_url(stack.env["LOOKALIKE_LEDGER_URL"], decode_responses=True))


def milvus(stack: Stack) -> Any:
    """A client of a stack's Milvus, to be closed."""
    return closing(MilvusClient(stack.env["LOOKALIKE_MILVUS_URI"], dedicated=True))


def rows(client: MilvusClient) -> list[Any]:
    """The rows of the collection; none while it is being loaded."""
    try:
        return list(client.query(COLLECTION, filter="id >= 0", output_fields=["v"], consistency_level="Strong"))
    except MilvusException:
        return []


def test_everything_that_was_started_answers(stack: Stack) -> None:
    """Valkey keeps a value, Milvus has its API, and the OSS stand-in takes an object with the stack's credentials."""
    with ledger(stack) as connection:
        assert connection.set("a", "1")
        assert connection.get("a") == "1"
        assert connection.config_get("appendonly", "appendfsync", "maxmemory-policy", "bind") == {
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "bind": "127.0.0.1",
        }
        connection.delete("a")
    with milvus(stack) as client:
        assert "2.3.5" in client.get_server_version()
    env = stack.env
    session = oss2.Session()
    with closing(session.session):
        bucket = oss2.Bucket(
            oss2.AuthV4(env["OSS_ACCESS_KEY_ID"], env["OSS_ACCESS_KEY_SECRET"]),
            env["LOOKALIKE_OSS_ENDPOINT"],
            env["LOOKALIKE_OSS_BUCKET"],
            region=env["LOOKALIKE_OSS_REGION"],
            session=session,
        )
        bucket.put_object("test_stack/a", b"body")
        assert bucket.get_object("test_stack/a").read() == b"body"
        bucket.delete_object("test_stack/a")


def test_only_loopback_can_reach_what_can_be_bound_to_it(stack: Stack) -> None:
    """Valkey, OSS and etcd listen on 127.0.0.1; of the rest, which is Milvus's, every port is one that we chose."""
    by_address: dict[str, set[int]] = {}
    for name in stack.programs:
        for connection in psutil.Process(stack.pid(name)).net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                by_address.setdefault(connection.laddr.ip, set()).add(connection.laddr.port)
    ports = stack.ports
    etcd = {ports["milvus_etcd"], ports["milvus_etcd_peer"]}
    assert by_address.pop("127.0.0.1") == {ports["valkey"], ports["oss"]} | etcd
    (open_to_all,) = by_address.values()
    assert open_to_all == {port for name, port in ports.items() if name.startswith("milvus")} - etcd


def test_a_stack_comes_back_with_everything(folder: Path) -> None:
    """A stack that is ready takes a collection at once; what was written is there again after `down` and `up`.

    So are the addresses and the credentials; and `down` leaves no process, even without its supervisord.
    """
    stack = Stack(folder, services=("valkey", "milvus"))
    assert stack.up()
    env = stack.env
    with milvus(stack) as client, ledger(stack) as connection:
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("v", DataType.BINARY_VECTOR, dim=64)
        index = client.prepare_index_params()
        index.add_index("v", index_type="BIN_FLAT", metric_type="HAMMING")
        client.create_collection(COLLECTION, schema=schema, index_params=index)
        client.insert(COLLECTION, [{"id": 1, "v": VECTOR}])
        connection.set("key", "value")
    assert stack.down()
    assert not processes(folder)
    assert not stack.is_up
    assert stack.up()
    assert stack.env == env
    with milvus(stack) as client, ledger(stack) as connection:
        assert connection.get("key") == "value"
        eventually("the row is back", lambda: [row["v"] for row in rows(client)] == [[VECTOR]])
    kill_supervisor(folder)
    assert set(processes(folder).values()) == {"valkey", "milvus"}
    assert stack.down()
    assert not processes(folder)


def test_up_and_down_may_be_repeated(folder: Path) -> None:
    """The second `up` changes nothing, the second `down` finds nothing, and one before the first `up` neither."""
    assert not Stack(folder).down()
    assert Stack(folder, services=VALKEY).up()
    pid = Stack(folder).pid("valkey")
    assert not Stack(folder, services=VALKEY).up()
    assert Stack(folder).pid("valkey") == pid
    assert Stack(folder).down()
    assert not Stack(folder).down()


def test_a_second_up_adds_what_is_missing(folder: Path) -> None:
    """A stack of Valkey that is asked for OSS as well goes on with both."""
    Stack(folder, services=VALKEY).up()
    pid = Stack(folder).pid("valkey")
    both = Stack(folder, services=("valkey", "oss"))
    assert both.up()
    assert both.pid("valkey") == pid
    assert both.pid("oss")
    assert "LOOKALIKE_OSS_ENDPOINT" in both.env


def test_up_after_supervisord_was_killed_takes_over(folder: Path) -> None:
    """The processes that are left make place for new ones, on the same ports and with the same data."""
    stack = Stack(folder, services=VALKEY)
    stack.up()
    before = stack.pid("valkey"), stack.env
    with ledger(stack) as connection:
        connection.set("key", "value")
    kill_supervisor(folder)
    assert stack.up()
    assert stack.pid("valkey") != before[0]
    assert stack.env == before[1]
    with ledger(stack) as connection:
        assert connection.get("key") == "value"


def test_a_supervisord_that_hangs_is_killed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`down` does not wait for a supervisord that answers nothing, and leaves no process."""
    monkeypatch.setattr(supervision, "_ANSWER_SECONDS", 0.2)
    stack = Stack(folder, services=VALKEY)
    stack.up()
    identity.send(ProcessId.model_validate(remembered(folder)["supervisor"]), signal.SIGSTOP, seconds=0)
    assert stack.down()
    assert not processes(folder)


def test_stacks_run_side_by_side(tmp_path: Path) -> None:
    """Two stacks share neither ports nor data, and one goes without the other."""
    with Stack(tmp_path / "other", services=VALKEY) as other:
        with Stack(tmp_path / "one", services=VALKEY) as one, ledger(one) as connection:
            connection.set("key", "one")
            with ledger(other) as elsewhere:
                assert elsewhere.get("key") is None
        assert not one.is_up
        assert other.is_up
        with ledger(other) as elsewhere:
            assert elsewhere.ping()


def test_a_port_that_was_taken_meanwhile_is_replaced(folder: Path) -> None:
    """Where somebody else has the port by the next `up`, the stack moves, and its variables say where to."""
    stack = Stack(folder, services=VALKEY)
    stack.up()
    port = stack.ports["valkey"]
    stack.down()
    with socket.create_server(("127.0.0.1", port)):
        stack.up()
        assert stack.ports["valkey"] != port
        with ledger(stack) as connection:
            assert connection.ping()


@pytest.mark.parametrize("name", ["100% 'mine' (图片)", "x" * 120])
def test_the_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    """Quotes, percent signs and other alphabets do no harm, nor a path that is too long for a socket."""
    with Stack(tmp_path / name, services=("valkey", "oss")) as stack:
        printed = subprocess.check_output(
            ["/bin/sh", "-c", '. "$1"; printf %s "$LOOKALIKE_LEDGER_URL"', "sh", str(stack.env_file)], text=True
        )
        assert printed == stack.env["LOOKALIKE_LEDGER_URL"]
        socket_folder = Path(remembered(stack.directory)["socket"]).parent
    assert socket_folder == stack.directory or not socket_folder.exists()


def test_one_service_can_be_broken_and_mended(folder: Path) -> None:
    """A service that is killed comes back by itself; one that is stopped stays away until it is started."""
    stack = Stack(folder, services=VALKEY)
    stack.up()
    first = ProcessId.of(stack.pid("valkey"))
    assert first is not None
    assert stack.kill("valkey") == first.pid
    assert not first.alive()
    stack.wait_ready("valkey")
    assert stack.pid("valkey") != first.pid
    stack.stop("valkey")
    with pytest.raises(StackError, match="valkey does not run"):
        stack.pid("valkey")
    stack.start("valkey")
    before = stack.pid("valkey")
    stack.restart("valkey")
    assert stack.pid("valkey") != before
    with ledger(stack) as connection:
        assert connection.ping()
    with pytest.raises(StackError, match="the stack has no milvus; it has valkey"):
        stack.kill("milvus")


def test_a_service_that_dies_at_start_says_why(folder: Path) -> None:
    """The error has the end of the service's log, and nothing is left running."""
    stack = Stack(folder, services=VALKEY)
    stack.up()
    stack.down()
    for file in (folder / "valkey" / "appendonlydir").glob("*.manifest"):
        file.write_text("no manifest\n")
    with pytest.raises(ServiceDied, match=r"(?s)valkey does not stay up.*AOF manifest file"):
        stack.up()
    assert not stack.is_up
    assert not processes(folder)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """The error names the folder, and nothing is started."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match="file/stack cannot be written: Not a directory"):
        Stack(tmp_path / "file" / "stack", services=VALKEY).up()


def test_the_stack_of_a_killed_process_goes_down(folder: Path) -> None:
    """A stack that was opened with `with` stops even if its process is killed in the middle."""
    code = "import signal, sys; from devstack import Stack\n"
    code += "with Stack(sys.argv[1], services=['valkey']): print('up', flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        assert processes(folder)
        process.kill()
    eventually("the stack is down", lambda: not processes(folder))


def test_the_program_starts_workers_and_stops_everything(
    folder: Path, lookalike: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """`up --detach` returns when the workers answer, and they have the caller's settings; `down` leaves nothing."""
    up = ("up", "--detach", "--dir", str(folder), "--workers", "1", "--concurrency", "3", "--json")
    done = lookalike(*up, LOOKALIKE_COLLECTION="mine", LOOKALIKE_MILVUS_URI="http://production")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["started"]
    assert set(found["programs"]) == {"valkey", "milvus", "oss", "ingest1", "quarantine1", "search1", "beat", "flower"}
    given = psutil.Process(found["programs"]["ingest1"]["pid"]).environ()
    assert given["LOOKALIKE_COLLECTION"] == "mine"
    assert given["LOOKALIKE_MILVUS_URI"] == found["programs"]["milvus"]["address"]
    assert "lookalike_build_info" in httpx2.get(found["programs"]["ingest1"]["address"]).text
    page = f"{found['programs']['flower']['address']}/tasks"
    user, password = Stack(folder).env["FLOWER_BASIC_AUTH"].split(":")
    assert [httpx2.get(page, auth=auth).status_code for auth in (None, (user, password))] == [401, 200]

    status = subprocess.run(
        ["/bin/sh", "-c", 'set -a; . "$1"; exec "$2" status --json', "sh", str(folder / "env"), PROGRAM],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(status.stdout)["workers"] == 3
    assert Stack(folder).add_workers("ingest", concurrency=2, variables={"LOOKALIKE_COLLECTION": "theirs"}) == [
        "ingest2"
    ]
    assert psutil.Process(Stack(folder).pid("ingest2")).environ()["LOOKALIKE_COLLECTION"] == "theirs"

    again = json.loads(lookalike(*up).stdout)
    assert not again["started"]
    assert again["programs"]["ingest1"] == found["programs"]["ingest1"]
    assert lookalike(*up[:-1]).stdout.startswith(f"The stack in {folder} is up already.")

    for stopped in (True, False):
        done = lookalike("down", "--dir", str(folder), "--json")
        assert (done.returncode, json.loads(done.stdout)["stopped"]) == (0, stopped)
    assert not processes(folder)
    assert "Warm shutdown" in Stack(folder).log("ingest1").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_a_signal_stops_everything(folder: Path, number: signal.Signals) -> None:
    """`up` without --detach stays until Ctrl-C, or until it is told to end, and then stops what it started."""
    command = [PROGRAM, "up", "--dir", str(folder), "--no-workers"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert any(line.startswith("For a shell:") for line in process.stdout)
        assert Stack(folder).is_up
        process.send_signal(number)
        assert process.wait(60) == 0
    assert not processes(folder)
