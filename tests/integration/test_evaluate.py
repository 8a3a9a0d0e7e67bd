"""`lookalike evaluate` through the real queue, on real objects and rows."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from contract import EvaluationResult
from producer import Client
from producer.cli.program import program
from tests.corpus import photos
from tests.integration.conftest import client_settings
from tests.integration.processes import ADDRESSES, Worker, on_own_databases, settled
from worker.adapters.oss import OssObjectStore

COMPANY = 31
NAMES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "china.jpg", "flower.jpg")


@pytest.fixture
def environment(stack_env: Mapping[str, str]) -> Mapping[str, str]:
    """Queues and a ledger that no other worker looks at."""
    return on_own_databases(stack_env, 10)


def test_a_tenants_pictures_are_evaluated(
    start_worker: Callable[..., Worker],
    environment: Mapping[str, str],
    bucket: OssObjectStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By profiles that the workers do not serve, too; by keys the same; and a killed command's work is gone on with."""
    for name in NAMES:
        bucket.put(f"evaluate/{name}", photos()[name])
    keys = tmp_path / "keys.txt"
    keys.write_text("".join(f"evaluate/{name}\n" for name in (*NAMES, "gone.png")))
    png, html = tmp_path / "curves.png", tmp_path / "report.html"
    few = ["--transforms", "resize 50%,mirror,exif turn", "--hash", "ahash,pdq.upright", "--false-match-rate", "0.01"]
    files = ["--png", str(png), "--html", str(html)]
    for name in ADDRESSES:
        monkeypatch.setenv(name, environment[name])
    worker = start_worker(
        *("-Q", "ingest,search", "-P", "threads", "-c", "4", "-n", "evaluate@%h"),
        log=tmp_path / "log",
        LOOKALIKE_HASH="ahash",
        LOOKALIKE_COLLECTION="evaluate",
        **{name: environment[name] for name in ADDRESSES},
    )
    with worker, Client(client_settings(environment)) as client:
        client.enqueue_many(
            {"object_key": f"evaluate/{name}", "meta_id": n, "company_id": COMPANY} for n, name in enumerate(NAMES)
        )
        settled(client)
        command = CliRunner().invoke(program, ["evaluate", "--keys", str(keys), *few, *files, "--json"])
        assert command.exit_code == 0, command.stderr
        report = json.loads(command.stdout)
        assert report["pictures"] == len(NAMES)
        assert report["failed"].keys() == {"evaluate/gone.png"}
        recalls = {profile["hash"]: profile["recalls"] for profile in report["profiles"]}
        assert recalls["pdq.upright"]["exif turn"] == 1.0 > recalls["ahash"]["exif turn"]
        with Image.open(png) as image:
            assert image.format == "PNG"
        assert "Recommended: LOOKALIKE_HASH=pdq.upright" in html.read_text()
        assert {file.name for file in tmp_path.iterdir()} >= {"curves.png", "report.html"}

        class Killed(Exception):
            """The command's end."""

        def die(result: EvaluationResult) -> None:
            raise Killed(result["read"])

        with pytest.raises(Killed) as first:
            client.evaluate(company_id=COMPANY, sample=6, hashes=("pdq",), progress=die)
        if first.value.args[0] < len(NAMES):
            with pytest.raises(Killed) as second:
                client.evaluate(company_id=COMPANY, sample=6, hashes=("pdq",), progress=die)
            assert second.value.args[0] > first.value.args[0]
        table = CliRunner().invoke(program, ["evaluate", "--company", str(COMPANY), *few])
        assert table.exit_code == 0, table.stderr
        assert "6 pictures, 3 changed copies of each; 15 pairs" in table.stdout
        assert "Recommended: LOOKALIKE_HASH=pdq.upright" in table.stdout
        assert "too small" in table.stdout
