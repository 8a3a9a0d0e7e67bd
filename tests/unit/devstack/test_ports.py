"""Ports that nobody else has, and keep so until a server listens."""

import socket
from collections.abc import Iterator

import pytest

from devstack import StackError, ports
from devstack.ports import CANDIDATES, reserve


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server on a port of 127.0.0.1 only."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_each_name_has_a_port_of_its_own_below_the_range_of_clients() -> None:
    """Ports differ, and are none that Linux may give to an outgoing connection."""
    with reserve(map(str, range(50)), {}) as chosen:
        assert len(set(chosen.values())) == 50
        assert set(chosen.values()) <= set(CANDIDATES)


def test_two_stacks_that_start_at_once_get_different_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one has reserved another does not get, though nothing listens there yet."""
    monkeypatch.setattr(ports, "CANDIDATES", range(20_000, 20_040))
    with reserve(map(str, range(15)), {}) as one, reserve(map(str, range(15)), {}) as other:
        assert not set(one.values()) & set(other.values())


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::")])
def test_a_server_can_listen_on_a_reserved_port(family: socket.AddressFamily, address: str) -> None:
    """A server on loopback, or like Milvus on all addresses, gets the port while it is reserved."""
    if family is socket.AF_INET6 and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with (
        reserve(["a"], {}) as chosen,
        socket.create_server((address, chosen["a"]), family=family, dualstack_ipv6=family is socket.AF_INET6),
        socket.create_connection(("127.0.0.1", chosen["a"])),
    ):
        pass


def test_a_port_that_is_wanted_and_free_is_kept() -> None:
    """A stack comes back to the ports of its last run."""
    with reserve(["a", "b"], {}) as first:
        pass
    with reserve(["a", "b"], first) as second:
        assert second == first


def test_a_wanted_port_with_lingering_connections_is_kept() -> None:
    """Connections of the last run that are in TIME_WAIT do not drive a stack from its port."""
    with reserve(["a"], {}) as chosen:
        port = chosen["a"]
        with socket.create_server(("127.0.0.1", port)) as server:
            client = socket.create_connection(("127.0.0.1", port))
            accepted, _ = server.accept()
            accepted.close()  # first, so that its end lingers
            assert client.recv(1) == b""
            client.close()
    with reserve(["a"], {"a": port}) as again:
        assert again["a"] == port


def test_a_wanted_port_that_is_taken_is_given_up(listener: socket.socket) -> None:
    """A port that somebody else listens on, if only on loopback, is replaced by another."""
    taken = listener.getsockname()[1]
    with reserve(["a"], {"a": taken}) as chosen:
        assert chosen["a"] != taken


def test_no_free_port_is_an_error(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all ports are taken the error says so, and for what one was wanted."""
    taken = listener.getsockname()[1]
    monkeypatch.setattr(ports, "CANDIDATES", range(taken, taken + 1))
    with pytest.raises(StackError, match=r"no free TCP port between \d+ and \d+ for milvus"), reserve(["milvus"], {}):
        pass
