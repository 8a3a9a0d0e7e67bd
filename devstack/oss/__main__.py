"""The stand-in as a process: `python -m devstack.oss --data DIR --bucket pictures`.

Credentials come from the environment, so that no list of processes shows them. When it listens it says where, in one
line of JSON. SIGTERM and SIGINT stop it.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from devstack.oss.config import Credentials, ServerConfig
from devstack.oss.server import serve
from devstack.oss.storage import StorageError

_USAGE_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal comes; the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        config = ServerConfig(
            data_dir=options.data,
            buckets=tuple(options.bucket),
            credentials=_credentials(),
            region=options.region,
            host=options.host,
            port=options.port,
            domains=tuple(options.domain),
        )
    except ValueError as error:
        return _fail(str(error), _USAGE_ERROR)
    try:
        asyncio.run(_serve(config, options.port_file))
    except (StorageError, OSError) as error:
        return _fail(str(error), 1)
    return 0


async def _serve(config: ServerConfig, port_file: Path | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    _forget(port_file)
    try:
        await serve(config, stop=stop, listening=lambda endpoint: _announce(endpoint, port_file))
    finally:
        _forget(port_file)


def _forget(port_file: Path | None) -> None:
    """Remove the file, which says that somebody listens."""
    if port_file is not None:
        port_file.unlink(missing_ok=True)


def _announce(endpoint: str, port_file: Path | None) -> None:
    line = json.dumps({"endpoint": endpoint}) + "\n"
    if port_file is None:
        sys.stdout.write(line)
        sys.stdout.flush()
        return
    # Whoever waits for the file finds it complete.
    unfinished = port_file.with_name(f"{port_file.name}.{os.getpid()}.tmp")
    unfinished.write_text(line)
    unfinished.replace(port_file)


def _credentials() -> Credentials:
    names = ("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET")
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise ValueError(f"the environment must have {' and '.join(missing)}: the credentials that clients sign with")
    key_id, secret = (os.environ[name] for name in names)
    return Credentials(key_id, secret, os.environ.get("OSS_SESSION_TOKEN") or None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m devstack.oss",
        description="A stand-in for Aliyun OSS. Clients sign with OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET "
        "of its environment (and OSS_SESSION_TOKEN, if it is set).",
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that keeps the objects")
    parser.add_argument("--bucket", action="append", required=True, help="name of a bucket; may be given again")
    parser.add_argument("--region", default="cn-hangzhou", help="region that V4 signatures are for (%(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0, the default, chooses a free one")
    parser.add_argument("--port-file", type=Path, help="write the endpoint here, not to standard output")
    parser.add_argument(
        "--domain",
        action="append",
        default=[],
        help="a further domain whose subdomains are buckets; may be given again",
    )
    return parser


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"devstack.oss: {message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
