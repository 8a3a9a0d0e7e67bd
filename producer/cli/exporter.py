"""`lookalike exporter`."""

import signal
from typing import Annotated, Final

import typer

from producer.cli.session import explained

_ENDING: Final = frozenset({signal.SIGTERM, signal.SIGINT})
EXAMPLES: Final = """\b
Examples:
  lookalike exporter --port 9464
  curl http://127.0.0.1:9464/metrics
"""


def exporter(
    *,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen.", envvar="LOOKALIKE_METRICS_HOST")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", min=1, max=65535, help="The port.", envvar="LOOKALIKE_METRICS_PORT")
    ] = 9464,
    every: Annotated[float, typer.Option(metavar="SECONDS", min=1, max=300, help="How often to look.")] = 5.0,
) -> None:
    """Tell Prometheus how it stands as a whole, until it is stopped.

    Events that are outstanding, the oldest of them, dead letters, queues and who listens to them, rows, blown fuses.
    Each worker tells its own figures (LOOKALIKE_METRICS_PORT). What does not answer is absent: a scrape never waits.
    """
    from prometheus_client import start_http_server  # noqa: PLC0415 - as below

    from producer import logs  # noqa: PLC0415 - `--help` needs none of it
    from producer.metrics import Exporter  # noqa: PLC0415 - as above
    from producer.settings import LogSettings  # noqa: PLC0415 - as above

    with explained():
        settings = LogSettings.from_env()
        looking = Exporter(settings, every=every)
    logs.configure(settings)
    # Blocked in all threads before there are any, so that whichever comes waits for this one.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        server, _ = start_http_server(port, host, looking.registry)
    except OSError as error:
        raise typer.BadParameter(f"cannot listen on {host}:{port}: {error.strerror}") from None
    looking.start()
    signal.sigwait(_ENDING)
    server.shutdown()
    looking.stop()
