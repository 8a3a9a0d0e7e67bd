"""`lookalike listen`."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Final

import typer

from producer.cli.plugins import NotInstalled
from producer.cli.session import explained, open_client

if TYPE_CHECKING:
    from producer.listening.application import Listener
    from producer.listening.settings import ListenSettings

EXAMPLES: Final = """\b
Examples:
  export LOOKALIKE_LISTEN_SECRETS=$(openssl rand -hex 32)
  lookalike listen --host 0.0.0.0 --port 8080
  curl -H "Authorization: Bearer $LOOKALIKE_LISTEN_SECRETS" -d @event.json http://127.0.0.1:8080/events

\b
What Aliyun is to send where:
  POST /events     EventBridge, SMQ (MNS) pushes, functions of Function Compute
  POST /callback   callbacks of PutObject and PostObject
  GET  /healthz    whether events can be accepted
  GET  /metrics    for Prometheus; with the secret, or without it where LOOKALIKE_METRICS_PORT says
"""


def listen(
    ctx: typer.Context,
    *,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="The port; 0 takes any.")] = 8080,
) -> None:
    """Take the events of OSS over HTTP, and enqueue them.

    Whose picture an object is, the workers find out (LOOKALIKE_KEY_TEMPLATE, LOOKALIKE_IDS_FROM). It speaks plain HTTP:
    put it behind what terminates TLS.
    """
    _require_extra()
    from producer import logs, tracing  # noqa: PLC0415 - `--help` needs no logs
    from producer.listening.application import Listener, Rules  # noqa: PLC0415 - needs an extra
    from producer.listening.authentication import Secrets  # noqa: PLC0415 - as above
    from producer.listening.callback_signature import PublicKeys, fetch  # noqa: PLC0415 - as above
    from producer.listening.server import serve  # noqa: PLC0415 - as above

    settings = _settings()
    try:
        keys = PublicKeys(settings.callback_public_key, fetch)
    except ValueError as error:
        raise typer.BadParameter(f"LOOKALIKE_CALLBACK_PUBLIC_KEY: {error}") from None
    logs.configure(settings)
    tracing.configure("lookalike-listener")
    rules = Rules(settings.listen_max_bytes, settings.listen_seconds, settings.callback_signature_alone)
    with open_client(ctx, one_trace=False) as client:
        listener = Listener(client, Secrets(settings.listen_secrets), keys, rules)
        if settings.metrics_port is not None:
            _serve_metrics(listener, settings.metrics_host, settings.metrics_port)
        serve(listener.application(), host=host, port=port, seconds=settings.listen_seconds)


def _serve_metrics(listener: "Listener", host: str, port: int) -> None:
    from prometheus_client import start_http_server  # noqa: PLC0415 - only for those who want metrics

    try:
        start_http_server(port, host, listener.registry)
    except OSError as error:
        raise typer.BadParameter(f"LOOKALIKE_METRICS_PORT: cannot listen on {host}:{port}: {error.strerror}") from None


def _require_extra() -> None:
    """Say at once what to install, where that is not there.

    Raises:
        NotInstalled: naming the extra.
    """
    missing = [name for name in ("cryptography", "httpx2", "starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise NotInstalled(f"listening needs {', '.join(missing)}: pip install 'lookalike[listener]'")


def _settings() -> "ListenSettings":
    from producer.listening.settings import ListenSettings  # noqa: PLC0415 - pydantic is slow to import

    with explained():
        return ListenSettings.from_env()
