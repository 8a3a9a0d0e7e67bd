"""Addresses of several servers in one text, as kombu and Celery write them."""

import re
from typing import Final

# A password may hold a semicolon too.
_BETWEEN: Final = re.compile(r";(?=[a-z+]+://)")


def each_address(text: str) -> list[str]:
    """Take `amqp://a//;amqp://b//` apart. One address stays one."""
    return _BETWEEN.split(text)
