"""A worker of a benchmark's own, which it may kill."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def search_worker(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a worker of the queue of searches and long jobs, with four threads, in the environment of this process.

    Args:
        folder: for its log, `worker.log`.
    """
    options = ("-Q", "search", "-P", "threads", "-c", "4", "-l", "warning")
    with (folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "worker", "worker", *options], stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)
