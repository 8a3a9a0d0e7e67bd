"""What is tried in a clean environment: `python tried.py client`, or `worker`. It imports nothing of the checkout."""

import platform
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

PROGRAM = str(Path(sys.executable).parent / "lookalike")


def client() -> None:
    """The client alone: light, with its help, and it enqueues and says what others lack."""
    from producer import Client  # noqa: PLC0415

    there = [name for name in ("PIL", "numpy", "imagehash", "pymilvus", "oss2", "starlette") if find_spec(name)]
    assert not there, there
    shown = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True).stdout
    assert "enqueue" in shown
    said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    assert said == version("lookalike")
    for command in (["up"], ["listen"]):
        refused = subprocess.run([PROGRAM, *command], capture_output=True, text=True, check=False)
        assert refused.returncode == 1, refused
        assert "pip install 'lookalike[" in refused.stderr, refused.stderr
        assert "Traceback" not in refused.stderr
    with Client.from_env() as made:
        before = made.outstanding()
        made.enqueue("packages/none.jpg", meta_id=1, company_id=1)
        assert made.outstanding() == before + 1


def worker() -> None:
    """The worker: the fast hash is there and true, and a process answers a search."""
    import imagehash  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    from producer import Client  # noqa: PLC0415
    from worker.core import hashing  # noqa: PLC0415

    assert hashing.fast_path_fault() is None
    for size in ((640, 480), (333, 1000), (64, 64)):
        noise = np.random.default_rng(7).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        body = BytesIO()
        Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(body, "JPEG")
        with Image.open(BytesIO(body.getvalue())) as image:
            reference = bytes.fromhex(str(imagehash.average_hash(image)))
        assert hashing.create_vector(body.getvalue()) == reference
    command = [sys.executable, "-m", "celery", "-A", "worker", "worker", "-Q", "search", "-P", "threads", "-c", "1"]
    with Path("log").open("wb") as log:
        process = subprocess.Popen([*command, "-n", f"tried{sys.version_info.minor}@%h"], stdout=log, stderr=log)
    try:
        with Client.from_env() as made:
            assert made.search(vector=bytes(8), company_id=1, timeout=60)["matches"] == []
    finally:
        process.terminate()
        process.wait(60)


if __name__ == "__main__":
    {"client": client, "worker": worker}[sys.argv[1]]()
    sys.stdout.write(f"Python {platform.python_version()}: {sys.argv[1]}: works\n")
