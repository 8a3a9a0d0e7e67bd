"""Servers of other makes than the devstack's, each a child of the tests on loopback with a folder of its own."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from kombu import Connection
from kombu.exceptions import OperationalError

from devstack import valkey
from devstack.certificates import Certificates
from devstack.ports import reserve
from producer.redis_connections import connect

REDIS: Final = shutil.which("redis-server")
# Debian's own command of that name runs it as another user.
_RABBITMQ: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_EPMD: Final = shutil.which("epmd")
RABBITMQ: Final = str(_RABBITMQ) if _RABBITMQ.exists() and _EPMD else None

_START_SECONDS: Final = 90.0
_STOP_SECONDS: Final = 30.0


class Server:
    """A process group, and whether it answers."""

    def __init__(
        self,
        command: Sequence[str],
        directory: Path,
        ready: Callable[[], bool],
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._command = command
        self._directory = directory
        self._ready = ready
        self._variables = {} if variables is None else variables
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._directory / "output").open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                env={**os.environ, **self._variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._ready():
            ended = self._process.poll() is not None
            assert not ended, (self._directory / "output").read_text()
            assert time.monotonic() < deadline, f"not ready: {self._command}"
            time.sleep(0.1)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to it and its children, and wait for its end."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(_STOP_SECONDS)
        self._process = None

    def pause(self) -> None:
        """Let it hang, with its connections open."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGCONT)


@contextmanager
def redis_server(
    directory: Path, *, binary: str | None = REDIS, appendonly: str = "yes"
) -> Iterator[tuple[Server, str]]:
    """Debian's Redis, or another, configured as the devstack has Valkey; and its address without a database."""
    assert binary is not None
    with reserve(["redis"], {}) as ports:
        address = f"redis://127.0.0.1:{ports['redis']}"
        config = directory / "redis.conf"
        given = valkey.config(port=ports["redis"], data_dir=directory)
        config.write_text(f"{given}appendonly {appendonly}\n")  # the last one counts
        server = Server([binary, str(config)], directory, lambda: valkey.is_ready(address))
        with _running(server):
            yield server, address


@contextmanager
def rabbitmq_server(directory: Path) -> Iterator[tuple[Server, str]]:
    """Debian's RabbitMQ, with a port mapper of its own; and the address of its one virtual host.

    It has TLS at the port of the file `tls`, by the certificates of the folder `certificates`.
    """
    assert RABBITMQ is not None
    assert _EPMD is not None
    with reserve(["amqp", "amqps", "nodes", "names"], {}) as ports:
        address = f"amqp://guest:guest@127.0.0.1:{ports['amqp']}//"
        names = {"ERL_EPMD_PORT": str(ports["names"]), "ERL_EPMD_ADDRESS": "127.0.0.1"}
        certificates = Certificates(directory / "certificates")
        certificates.make()
        config = directory / "rabbitmq.conf"
        # Otherwise a full disk of the machine stops every publisher.
        config.write_text(
            "disk_free_limit.absolute = 1MB\n"
            f"listeners.ssl.default = 127.0.0.1:{ports['amqps']}\n"
            f"ssl_options.cacertfile = {certificates.authority}\n"
            f"ssl_options.certfile = {certificates.server}\n"
            f"ssl_options.keyfile = {certificates.key}\n"
        )
        (directory / "tls").write_text(str(ports["amqps"]))
        variables = {
            **names,
            "HOME": str(directory),  # of the cookie that Erlang writes
            "RABBITMQ_NODENAME": f"test{ports['amqp']}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(ports["amqp"]),
            "RABBITMQ_DIST_PORT": str(ports["nodes"]),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_CONF_ENV_FILE": str(directory / "none"),
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
            "RABBITMQ_PID_FILE": str(directory / "pid"),
        }
        mapper = directory / "epmd"
        mapper.mkdir()
        server = Server([RABBITMQ], directory, lambda: _amqp_answers(address), variables)
        # In the foreground: one that Erlang starts itself would outlive the tests.
        with _running(Server([_EPMD], mapper, lambda: True, names)), _running(server):
            yield server, address


@contextmanager
def sentinels(directory: Path) -> Iterator[tuple[Server, str]]:
    """A Valkey with a replica, watched by Valkey's Sentinel; the server that is the master, and Sentinel's address."""
    binary = str(valkey.binary())
    with reserve(["first", "second", "sentinel"], {}) as ports, ExitStack() as running:

        def start(name: str, lines: Sequence[str], *options: str) -> Server:
            home = directory / name
            home.mkdir()
            config = home / "valkey.conf"
            config.write_text("".join(f"{line}\n" for line in lines))
            answers = f"redis://127.0.0.1:{ports[name]}"
            server = Server([binary, str(config), *options], home, lambda: valkey.is_ready(answers))
            running.enter_context(_running(server))
            return server

        def config(name: str) -> list[str]:
            return valkey.config(port=ports[name], data_dir=directory / name).splitlines()

        master = start("first", config("first"))
        start("second", [*config("second"), f"replicaof 127.0.0.1 {ports['first']}"])
        watch = [
            "bind 127.0.0.1",
            f"port {ports['sentinel']}",
            f"dir {directory / 'sentinel'}",
            f"sentinel monitor mymaster 127.0.0.1 {ports['first']} 1",
            "sentinel down-after-milliseconds mymaster 1000",
        ]
        start("sentinel", watch, "--sentinel")
        yield master, f"sentinel://127.0.0.1:{ports['sentinel']}"


@contextmanager
def _running(server: Server) -> Iterator[None]:
    server.start()
    try:
        yield
    finally:
        server.kill(signal.SIGTERM)


def _amqp_answers(address: str) -> bool:
    try:
        with Connection(address, connect_timeout=1) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
    except (OperationalError, OSError):
        return False
    return True


def replicated(address: str) -> bool:
    """Whether the replica of a master that Sentinel watches has everything."""
    return bool(connect(f"{address}/0", master="mymaster").wait(1, 1000))
