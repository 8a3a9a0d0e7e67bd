"""The client is typed for those who have it installed: mypy takes it as it takes any other package."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))
WRONG = """\
from producer import Client

def wrong(client: Client) -> str:
    client.enqueue("a.jpg", meta_id="1", company_id=7)
    return client.search(meta_id=1, company_id=7)["matches"][0]["distance"]
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An application's Python, which has our packages beside the others: mypy asks them for their `py.typed`."""
    home = tmp_path_factory.mktemp("application")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    found = sysconfig.get_path("purelib", vars={"base": str(home)})
    (Path(found) / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")
    return home / "bin" / "python"


def mypy(python: Path, folder: Path, *files: Path) -> tuple[int, str]:
    """Check programs of an application, strictly, with no configuration of ours: the exit code, and what it says."""
    (folder / "mypy.ini").write_text("[mypy]\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file", str(folder / "mypy.ini")),
            *("--python-executable", str(python), "--cache-dir", str(ROOT / ".mypy_cache" / "application")),
            *map(str, files),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_examples_are_right_for_a_strict_checker(python: Path, tmp_path: Path) -> None:
    """As whoever copies them has them checked."""
    assert len(EXAMPLES) == 3
    code, said = mypy(python, tmp_path, *EXAMPLES)
    assert code == 0, said


def test_what_is_wrong_is_found(python: Path, tmp_path: Path) -> None:
    """An argument of the wrong type, and a result that is used as what it is not: the types are seen, and are ours."""
    program = tmp_path / "wrong.py"
    program.write_text(WRONG)
    code, said = mypy(python, tmp_path, program)
    assert code == 1
    assert 'wrong.py:4: error: Argument "meta_id" to "enqueue" of "Client"' in said
    assert "wrong.py:5: error: Incompatible return value type" in said
    assert "Found 2 errors" in said
