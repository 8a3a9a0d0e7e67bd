"""The documentation says what is so."""

import re
from pathlib import Path

import pytest

from contract import QUEUES, STATS, SWEEP
from producer.listening.settings import ListenSettings
from producer.secret_files import SUFFIX
from worker.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SETTINGS = (ROOT / "docs" / "settings.md").read_text()
FEEDING = (ROOT / "docs" / "feeding.md").read_text()


FIELDS = WorkerSettings.model_fields | ListenSettings.model_fields


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_is_documented_with_its_default(name: str) -> None:
    """The settings page has a row for each variable, and its default is the code's."""
    field = FIELDS[name]
    row = re.search(rf"^\| `LOOKALIKE_{name.upper()}` \| (.*?) \| .+ \|$", SETTINGS, re.MULTILINE)
    assert row is not None
    if not field.is_required() and field.default not in ("", None):
        default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
        assert row[1] == f"`{default}`"


def test_no_variable_is_documented_that_does_not_exist() -> None:
    """A reader who sets what the documents name is never ignored."""
    known = {f"LOOKALIKE_{name.upper()}" for name in FIELDS}
    named = set(re.findall(r"\bLOOKALIKE_[A-Z_]*[A-Z]", README + SETTINGS + FEEDING))
    assert {name.removesuffix(SUFFIX) for name in named} <= known


def test_the_readme_lists_the_tasks_with_their_queues() -> None:
    """Each public task stands in the README's table beside its queue."""
    for task in QUEUES.keys() - {STATS, SWEEP}:
        assert f"| `{task}` | `{QUEUES[task]}` |" in README


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of the documents points to a file that is there."""
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
