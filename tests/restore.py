"""Back a stack up, destroy it, restore it and mend it: `make restore` shows that nothing is lost on the way."""

import argparse
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import oss2
from PIL import Image
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException
from rich.console import Console

from devstack import Stack
from producer import Client
from tests.integration.conftest import client_settings
from tests.integration.processes import Worker, eventually, settled

COMPANY = 7
# The bucket is no part of a backup: OSS keeps its own copies.
KEPT = ("valkey", "milvus")


def key(number: int) -> str:
    """Where a picture is; the ids stand in it."""
    return f"kept/{COMPANY}/{number}.png"


def picture(number: int) -> bytes:
    """Some picture."""
    file = BytesIO()
    Image.linear_gradient("L").rotate(number).resize((16, 16)).save(file, "PNG")
    return file.getvalue()


def events(numbers: Iterable[int]) -> list[dict[str, Any]]:
    """Their uploads."""
    return [{"object_key": key(number), "meta_id": number, "company_id": COMPANY} for number in numbers]


class Trial:
    """One stack, from its first picture to the last look."""

    def __init__(self, folder: Path, *, pictures: int, console: Console) -> None:
        self._stack = Stack(folder / "stack")
        self._folder = folder
        self._pictures = pictures
        self._console = console
        self._env: dict[str, str] = {}

    def __call__(self) -> None:
        """Go through all of it.

        Raises:
            AssertionError: something is not as it was, or not as it should be.
        """
        n = self._pictures
        old, waiting, later = range(n), range(n, n + n // 4), range(n + n // 4, n + n // 2)
        broken, gone, changed = range(10_000, 10_005), old[:5], old[5:15]
        with self._stack:
            self._env = {**self._stack.env, "LOOKALIKE_KEY_TEMPLATE": "kept/{company_id}/{meta_id}.png"}
            for number in [*old, *waiting, *later]:
                self._bucket.put_object(key(number), picture(number))
            for number in broken:
                self._bucket.put_object(key(number), b"no picture")
            with self._workers("before"), self._client() as client:
                client.enqueue_many(events([*old, *broken]))
                settled(client)
            with self._client() as client:
                client.enqueue_many(events(waiting))
                self._expect("before the backup", rows=n, outstanding=len(waiting), dead=len(broken))
            self._stack.stop(*KEPT)
            self._copy(self._stack.directory, self._folder / "backup")
            self._say(f"{', '.join(KEPT)} stopped and copied")
            self._stack.start(*KEPT)
            with self._workers("between"), self._client() as client:
                client.enqueue_many(events(later))
                for number in gone:
                    self._bucket.delete_object(key(number))
                client.delete([{"meta_id": number, "company_id": COMPANY} for number in gone])
                for number in changed:
                    self._bucket.put_object(key(number), picture(number + 90))
                client.enqueue_many(events(changed))
                settled(client)
            end = n + len(waiting) + len(later) - len(gone)
            self._expect("before the loss", rows=end, outstanding=0, dead=len(broken))
            wanted = self._rows()
            self._stack.stop(*KEPT)
            for name in KEPT:
                shutil.rmtree(self._stack.directory / name)
            self._say(f"{', '.join(KEPT)} destroyed")
            self._copy(self._folder / "backup", self._stack.directory)
            self._stack.start(*KEPT)
            self._expect("restored", rows=n, outstanding=len(waiting), dead=len(broken))
            with self._workers("after"), self._client() as client:
                settled(client)
                self._expect("what was outstanding is done", rows=n + len(waiting), outstanding=0, dead=len(broken))
                told = self._audit("--fix", "--yes")
                found = {kind: told[kind] for kind in ("missing", "changed", "orphaned", "dead")}
                self._say(f"lookalike audit --fix found {found}, fixed {told['fixed']}")
                assert found == {
                    "missing": len(later),
                    "changed": len(changed),
                    "orphaned": len(gone),
                    "dead": len(broken),
                }
                self._expect("mended", rows=end, outstanding=0, dead=len(broken))
                assert self._rows() == wanted
                self._say("every row has the id and the vector that it had before the loss")

    def _expect(self, when: str, *, rows: int, outstanding: int, dead: int) -> None:
        def there() -> bool:
            # Milvus refuses to search while it loads what it found on its disk, and pymilvus would log each refusal.
            with suppress(MilvusException):
                return len(self._rows()) == rows
            return False

        eventually(f"{rows} rows {when}", there, seconds=120)
        with self._client() as client:
            found = client.outstanding(), len(list(client.dead_letters()))
        assert found == (outstanding, dead), (when, found)
        self._say(f"{when}: {rows} rows, {outstanding} events outstanding, {dead} dead letters")

    def _rows(self) -> dict[int, bytes]:
        with closing(MilvusClient(self._env["LOOKALIKE_MILVUS_URI"], dedicated=True)) as client:
            found = client.query(
                "images_ahash",
                filter=f"company_id == {COMPANY}",
                output_fields=["id", "image_vector"],
                limit=16_384,
                consistency_level="Strong",
                timeout=60,
            )
        return {row["id"]: bytes(row["image_vector"][0]) for row in found}

    def _copy(self, source: Path, target: Path) -> None:
        for name in KEPT:
            shutil.copytree(source / name, target / name, ignore=shutil.ignore_patterns("*.sock"))

    def _audit(self, *options: str) -> dict[str, Any]:
        done = subprocess.run(
            [Path(sys.executable).parent / "lookalike", "audit", "--prefix", "kept/", "--json", "--no-lists", *options],
            env={**os.environ, **self._env},
            capture_output=True,
            text=True,
            check=True,
            timeout=200,
        )
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    def _workers(self, name: str) -> Worker:
        options = ("-Q", "ingest,search", "-P", "threads", "-c", "8")
        return Worker(["worker", "-l", "info", *options], self._env, self._folder / f"log-{name}")

    def _client(self) -> Client:
        return Client(client_settings(self._env))

    @property
    def _bucket(self) -> Any:
        given: Mapping[str, str] = self._env
        return oss2.Bucket(
            oss2.AuthV4(given["OSS_ACCESS_KEY_ID"], given["OSS_ACCESS_KEY_SECRET"]),
            given["LOOKALIKE_OSS_ENDPOINT"],
            given["LOOKALIKE_OSS_BUCKET"],
            region=given["LOOKALIKE_OSS_REGION"],
        )

    def _say(self, what: str) -> None:
        self._console.print(what, highlight=False, soft_wrap=True)


def main() -> None:
    """Try it, and fail where anything is lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.restore", description=__doc__)
    parser.add_argument("--pictures", type=int, default=400, help="that are indexed before the backup")
    given = parser.parse_args()
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="lookalike-restore-") as folder:
        Trial(Path(folder), pictures=given.pictures, console=Console())()


if __name__ == "__main__":
    main()
