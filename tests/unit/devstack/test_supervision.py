"""What supervisord is told."""

from pathlib import Path
from typing import Any

import pytest
from supervisor.options import ServerOptions

from devstack import StackError
from devstack.programs import Kind, Program, make_worker
from devstack.supervision import render

# What a folder may be called.
AWKWARD = ["plain", "with space", "100%", "50%(here)s", "it's", 'a "quoted" one', "图片", "a;b#c", "$HOME"]


def read(directory: Path, *programs: Program) -> Any:
    """The configuration as supervisord itself reads it."""
    config = directory / "supervisord.conf"
    (directory / "logs").mkdir(exist_ok=True)
    config.write_text(render(directory, directory / "supervisor.sock", programs))
    options = ServerOptions()
    options.realize(["-c", str(config)])
    return options


@pytest.mark.parametrize("name", AWKWARD)
def test_supervisord_reads_what_was_meant(tmp_path: Path, name: str) -> None:
    """Command, folder and variables reach supervisord as they were, whatever the folder is called."""
    folder = tmp_path / name
    folder.mkdir()
    program = Program(
        name="milvus",
        kind=Kind.MILVUS,
        command=(str(folder / "milvus"), "run", "a b", "%h"),
        directory=folder,
        environment={"LD_LIBRARY_PATH": str(folder), "EMPTY": ""},
        stop_signal="KILL",
        stop_seconds=7,
    )
    options = read(folder, program)
    (group,) = options.process_group_configs
    (process,) = group.process_configs
    assert Path(process.directory) == folder
    assert process.environment == {"LD_LIBRARY_PATH": str(folder), "EMPTY": ""}
    assert Path(process.stdout_logfile) == folder / "logs" / "milvus.log"
    assert (process.stopsignal, process.stopwaitsecs) == (9, 7)

    class Spawned:
        config = process

    from supervisor.process import Subprocess  # noqa: PLC0415

    process.options = options
    options.stat = lambda _filename: None
    options.check_execv_args = lambda *_arguments: None
    _, arguments = Subprocess.get_execv_args(Spawned())
    assert tuple(arguments) == program.command


def test_a_folder_that_cannot_be_written_down_is_refused(tmp_path: Path) -> None:
    """Where supervisord would read a comment or a line's end, the error names the folder."""
    for name in ("a ;b", "a #b", "a\nb"):
        program = Program(name="oss", kind=Kind.OSS, command=("true",), directory=tmp_path / name)
        with pytest.raises(StackError, match=r"cannot be written into supervisord\.conf"):
            render(tmp_path, tmp_path / "s", [program])


def test_a_value_with_both_quotes_is_refused(tmp_path: Path) -> None:
    """Supervisord has no escapes in quotes, so such a variable cannot be given to a program."""
    worker = make_worker("ingest1", "ingest", 16, tmp_path, {"LOOKALIKE_X": "'\""})
    with pytest.raises(StackError, match="quotes"):
        render(tmp_path, tmp_path / "s", [worker])


def test_workers_stop_first_and_have_half_a_minute(tmp_path: Path) -> None:
    """Supervisord, told to stop by others, stops workers before services, and gives them 30 s to finish."""
    worker = make_worker("ingest1", "ingest", 16, tmp_path)
    service = Program(name="valkey", kind=Kind.VALKEY, command=("true",), directory=tmp_path)
    by_name = {group.name: group for group in read(tmp_path, worker, service).process_group_configs}
    assert by_name["valkey"].priority < by_name["ingest1"].priority
    (process,) = by_name["ingest1"].process_configs
    assert process.stopwaitsecs == 30
    assert process.stopasgroup
    assert process.autorestart
    assert "ingest1@%h" in process.command
