"""Free TCP ports that stay free until their servers listen on them."""

import random
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from devstack.errors import StackError

# Below the range that Linux gives to outgoing connections (net.ipv4.ip_local_port_range begins at 32768): a port that a
# stopped stack comes back to has not gone to some client in the meantime.
CANDIDATES: Final = range(20_000, 32_768)
_ANY_IPV6: Final = "::"
_ANY_IPV4: Final = "0.0.0.0"  # noqa: S104 - to see whether anyone has the port on any address; nothing listens here


def hold(port: int) -> socket.socket | None:
    """Reserve a port on all addresses: a socket that holds it until it is closed, or None where the port is taken.

    The socket never listens. With SO_REUSEADDR on both sides Linux lets a server bind and listen beside it, but refuses
    a second holder that asks for the port exclusively, as `reserve` does for ports it chooses.
    """
    return _bind(port, shared=True)


@contextmanager
def reserve(names: Iterable[str], wanted: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Give each name a port that nobody else has while the context is open.

    Args:
        names: what the ports are for.
        wanted: ports to keep where they are still free, such as those of the last run.

    Raises:
        StackError: there are no free ports.
    """
    holders: list[socket.socket] = []
    chosen: dict[str, int] = {}
    candidates = iter(random.sample(CANDIDATES, len(CANDIDATES)))
    try:
        for name in names:
            # Connections of the last run may linger in TIME_WAIT on the port that is wanted; they do no harm.
            holder = _bind(wanted[name], shared=True) if name in wanted else None
            while holder is None:
                port = next(candidates, None)
                if port is None:
                    raise StackError(
                        f"no free TCP port between {CANDIDATES.start} and {CANDIDATES.stop - 1} for {name}"
                    )
                holder = _bind(port, shared=False)
            holders.append(holder)
            chosen[name] = holder.getsockname()[1]
        yield chosen
    finally:
        for holder in holders:
            holder.close()


def _bind(port: int, *, shared: bool) -> socket.socket | None:
    # A socket on :: without IPV6_V6ONLY has the port on every address of both families.
    family, address = (socket.AF_INET6, _ANY_IPV6) if socket.has_dualstack_ipv6() else (socket.AF_INET, _ANY_IPV4)
    holder = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family is socket.AF_INET6:
            holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if shared:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((address, port))
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError:
        holder.close()
        return None
    return holder
