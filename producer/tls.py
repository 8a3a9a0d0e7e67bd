"""TLS to the broker and to Redis: `rediss` and `amqps` mean that the server's certificate is verified.

Of three libraries that read `rediss`, kombu 5.7 verifies nothing unless the address says so
(`kombu.connection.Connection._init_params`), Celery's result backend refuses one that does not say, and redis-py
verifies. Flower 2.2 does not read it at all, but Celery's `broker_use_ssl`. So the address is made to say it.
"""

import ssl
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

_SECURE: Final = "rediss"
_SECURE_AMQP: Final = "amqps"
_PREFIX: Final = "ssl_"
_REQUIREMENT: Final = "ssl_cert_reqs"
_HOST_CHECK: Final = "ssl_check_hostname"
_VERIFYING: Final = {_REQUIREMENT: ("required", "CERT_REQUIRED"), _HOST_CHECK: ("true", "True")}
_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


def verifying(url: str) -> str:
    """Complete an address of Redis, so that whoever reads it verifies the certificate and the host's name.

    Args:
        url: any address; all but those of Redis stay as they are.

    Returns:
        The address, with `ssl_cert_reqs=required` where it says `rediss`.

    Raises:
        ValueError: it asks for less, has TLS' options without TLS, or names a file that is not there.
    """
    parts = urlsplit(url)
    options = _options(parts)
    if parts.scheme != _SECURE:
        if parts.scheme == "redis" and any(name.startswith(_PREFIX) for name in options):
            raise ValueError("ssl_... needs an address that begins with rediss://")
        return url
    for name, accepted in _VERIFYING.items():
        if options.get(name, accepted[0]) not in accepted:
            raise ValueError(
                f"{name} would let anyone in between read and change everything: leave it out, and name a private "
                "certificate authority by ssl_ca_certs=/path/ca.pem"
            )
    for name in _FILES:
        if name in options and not Path(options[name]).is_file():
            raise ValueError(f"{name}: there is no file {options[name]}")
    options.pop(_HOST_CHECK, None)  # all of them check it anyway, and Celery's result backend takes no such option
    query = urlencode(options | {_REQUIREMENT: _VERIFYING[_REQUIREMENT][0]}, quote_via=quote, safe="/")
    return parts._replace(query=query).geturl()


def broker_options(url: str) -> dict[str, Any] | None:
    """What Celery's `broker_use_ssl` is for an address that `verifying` completed; None where that is without TLS."""
    parts = urlsplit(url)
    if parts.scheme == _SECURE_AMQP:
        # kombu puts the host's name in, without which py-amqp 5.4 takes any certificate of an authority it trusts.
        return {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None}
    if parts.scheme != _SECURE:
        return None
    named = {name: value for name, value in _options(parts).items() if name in _FILES}
    return {**named, _REQUIREMENT: ssl.CERT_REQUIRED}


def _options(parts: SplitResult) -> dict[str, str]:
    return dict(parse_qsl(parts.query, keep_blank_values=True))
