"""The demo, as a person runs it."""

import subprocess
import sys
from pathlib import Path

import psutil


def test_the_demo_shows_what_it_found_and_leaves_nothing(tmp_path: Path) -> None:
    """It ends well, its tables have the photos of both companies, and no process of its stack is left."""
    stack = tmp_path / "stack"
    command = [str(Path(sys.executable).with_name("lookalike")), "demo", "--dir", str(stack)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All 64 copies found their original" in done.stdout
    assert "Company 1" in done.stdout
    assert "Company 2" in done.stdout
    commands = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert [command for command in commands if str(stack) in command] == []
