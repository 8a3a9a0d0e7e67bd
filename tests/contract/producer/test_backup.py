"""What a snapshot of the ledger's server brings back, and how."""

import shutil
import time
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest
import redis

from contract import DeadLetter, Reason
from devstack import valkey
from producer.ledger import Batch, Ledger
from tests import servers
from tests.integration.processes import eventually
from tests.servers import Server

EVENT = {"object_key": "a.png", "meta_id": 1, "company_id": 1}
BINARIES = [
    pytest.param(str(valkey.binary()), id="valkey"),
    pytest.param(
        servers.REDIS, id="redis", marks=pytest.mark.skipif(not servers.REDIS, reason="no redis-server: make servers")
    ),
]


def seen(url: str) -> tuple[int, int]:
    """Outstanding events and dead letters."""
    with closing(Ledger.from_url(f"{url}/2")) as ledger:
        summary = ledger.summary(time.time())
    return summary.outstanding, summary.dead


def persistence(server: redis.Redis, name: str) -> int:
    """What the server says of its files."""
    return int(server.info("persistence")[name])


@pytest.mark.parametrize("binary", BINARIES)
def test_a_snapshot_brings_back_what_was_outstanding_and_dead(binary: str, tmp_path: Path) -> None:
    """A server without AOF reads it, and may write one from then on; a server with AOF begins empty, and reads none."""
    old, restored, wrong = (tmp_path / name for name in ("old", "restored", "wrong"))

    def start(folder: Path, appendonly: str) -> AbstractContextManager[tuple[Server, str]]:
        return servers.redis_server(folder, binary=binary, appendonly=appendonly)

    for folder in (old, restored, wrong):
        folder.mkdir()
    with start(old, "yes") as (_, url), closing(Ledger.from_url(f"{url}/2")) as ledger:
        now = time.time()
        for batch_id in ("dies", "waits"):
            ledger.record(Batch(batch_id, [EVENT, EVENT]), now)
        letter = DeadLetter(EVENT, Reason.NOT_AN_IMAGE, "no picture", 1, "then", "now")
        ledger.settle("dies", {"dead": 1}, now, dead=[letter])
        with redis.Redis.from_url(url) as admin:
            admin.bgsave()
            eventually("it is saved", lambda: not persistence(admin, "rdb_bgsave_in_progress"))
    for folder in (restored, wrong):
        shutil.copy(old / "dump.rdb", folder)
    with start(wrong, "yes") as (_, url):
        assert seen(url) == (0, 0)
    with start(restored, "no") as (_, url), redis.Redis.from_url(url) as admin:
        assert seen(url) == (2, 1)
        admin.config_set("appendonly", "yes")
        eventually(
            "the AOF is written",
            lambda: not (persistence(admin, "aof_rewrite_in_progress") or persistence(admin, "aof_rewrite_scheduled")),
        )
    with start(restored, "yes") as (_, url):
        assert seen(url) == (2, 1)
