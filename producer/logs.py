"""Logs: structlog for our own lines and for those of Celery and the SDKs, as JSON or for a person at a terminal.

Event names are fixed, and data travels in keywords. Every line of a task carries its task id and company.
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any, Final, TextIO
from urllib.parse import quote, unquote, urlsplit

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from producer import secret_files
from producer.addresses import each_address
from producer.settings import LogSettings

_MASK: Final = "***"
_SHORTEST_SECRET: Final = 4
_SECRET_VARIABLES: Final = (
    "OSS_ACCESS_KEY_SECRET",
    "OSS_SESSION_TOKEN",
    "LOOKALIKE_LISTEN_SECRETS",
    "LOOKALIKE_MILVUS_TOKEN",
    "LOOKALIKE_REDIS_PASSWORD",
    "FLOWER_BASIC_AUTH",
)
_URL_VARIABLES: Final = (
    "LOOKALIKE_BROKER_URL",
    "LOOKALIKE_RESULT_BACKEND_URL",
    "LOOKALIKE_LEDGER_URL",
    "LOOKALIKE_MILVUS_URI",
)

# Without local variables: they are whole pictures, and secrets.
_tracebacks: Final = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def secrets(environment: Mapping[str, str]) -> frozenset[str]:
    """Collect what must never be in a log line: keys, tokens, and the passwords within addresses, from files too."""
    given = {_value_of(name, environment) for name in _SECRET_VARIABLES}
    given |= {secret.partition(":")[2] for secret in given}  # Milvus' token may be user:password
    given |= {quote(secret, safe="") for secret in given}  # as Redis' password stands in an address
    given |= {secret.strip() for secret in _value_of("LOOKALIKE_LISTEN_SECRETS", environment).split(",")}
    for address in chain.from_iterable(each_address(_value_of(name, environment)) for name in _URL_VARIABLES):
        password = urlsplit(address).password or ""
        given |= {password, unquote(password)}
    # As JSON writes them, too. What is shorter than any real secret would blank half of every line.
    forms = given | {json.dumps(secret)[1:-1] for secret in given}
    return frozenset(secret for secret in forms if len(secret) >= _SHORTEST_SECRET)


def _value_of(name: str, environment: Mapping[str, str]) -> str:
    try:
        return secret_files.value_of(name, environment) or ""
    except secret_files.SecretFileError:
        return environment.get(name, "")  # whoever needs it says that it cannot be read


def masked(render: Callable[..., str | bytes], hidden: Iterable[str]) -> Processor:
    """Wrap a renderer, so that no secret leaves it, not even within an SDK's error or a traceback."""
    longest_first = sorted(hidden, key=len, reverse=True)

    def renderer(logger: WrappedLogger, name: str, event: EventDict) -> str:
        line = render(logger, name, event)
        return _mask(line.decode() if isinstance(line, bytes) else line, longest_first)

    return renderer


def without_secrets(text: str) -> str:
    """A text for other eyes than the log's, as the log would show it."""
    return _mask(text, sorted(secrets(os.environ), key=len, reverse=True))


def _mask(text: str, longest_first: Iterable[str]) -> str:
    for secret in longest_first:
        text = text.replace(secret, _MASK)
    return text


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Send every log line of the process to one stream (standard error, unless given), in one form."""
    out = stream or sys.stderr
    console = settings.log_format == "console" or (settings.log_format == "auto" and out.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    render: Any = structlog.processors.JSONRenderer()
    if console:
        render = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *([] if console else [_tracebacks]),
                masked(render, secrets(os.environ)),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    # The SDKs narrate every request; what matters of it comes back as an error. Celery says of every task what we say
    # in lines of our own.
    for chatty in ("oss2", "urllib3", "pymilvus", "PIL", "celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def companies(message: Mapping[str, Any]) -> Any:
    """The company or companies that a message names, for its task's log lines; None where it names none."""
    if "company_id" in message:
        return message["company_id"]
    parts = message.get("events", message.get("items"))
    if not isinstance(parts, list):
        return None
    named = {part["company_id"] for part in parts if isinstance(part, dict) and isinstance(part.get("company_id"), int)}
    return next(iter(named)) if len(named) == 1 else sorted(named) or None
