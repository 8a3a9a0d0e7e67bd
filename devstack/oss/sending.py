"""Putting an answer on the wire, whole or broken."""

import asyncio
import socket
import struct
from collections.abc import Iterator
from http import HTTPStatus
from typing import NoReturn

from aiohttp import web

from devstack.oss.errors import OssError
from devstack.oss.faults import Fault
from devstack.oss.responses import Answer

# SO_LINGER, on with a time of zero: closing sends RST and drops what was not sent yet.
_LINGER_ZERO = struct.pack("ii", 1, 0)
# These have no Content-Length.
_BODILESS = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}


async def send(request: web.BaseRequest, answer: Answer, fault: Fault | None = None) -> web.StreamResponse:
    """Send an answer, its body broken as the fault says."""
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    length = answer.body_length if answer.length is None else answer.length
    if answer.status not in _BODILESS:
        response.content_length = length
    await response.prepare(request)
    if request.method == "HEAD" or not answer.body_length:
        return response
    if fault is None:
        for piece in answer.pieces():
            await response.write(piece)
    else:
        await _send_broken(request, response, answer, fault)
    return response


async def break_off(request: web.BaseRequest, fault: Fault) -> NoReturn:
    """Let a fault take the place of an operation.

    Raises:
        OssError: with kind `status`.
        ConnectionAbortedError: with kind `reset`, when it is done.
    """
    if fault.kind == "status":
        raise OssError(fault.status, fault.error_code, "This error was asked for.")
    if fault.kind == "stall":
        await _wait_for_the_end()
    _reset(request)
    raise ConnectionAbortedError("This reset was asked for.")


async def _send_broken(request: web.BaseRequest, response: web.StreamResponse, answer: Answer, fault: Fault) -> None:
    cut = fault.cut(answer.body_length)
    if fault.kind == "corrupt":
        pieces = _flip(answer.pieces(), min(cut, answer.body_length - 1))
    elif fault.kind == "drip":
        pieces = answer.pieces(fault.chunk)
    else:
        pieces = _first(answer.pieces(), cut)
    for piece in pieces:
        await response.write(piece)
        if fault.kind == "drip":
            await asyncio.sleep(fault.interval)
    if fault.kind == "truncate" and request.transport is not None:
        request.transport.close()
    elif fault.kind == "reset":
        _reset(request)
    elif fault.kind == "stall":
        await _wait_for_the_end()


def _first(pieces: Iterator[bytes], count: int) -> Iterator[bytes]:
    for piece in pieces:
        yield piece[:count]
        count -= len(piece)
        if count <= 0:
            return


def _flip(pieces: Iterator[bytes], offset: int) -> Iterator[bytes]:
    """Flip all bits of the byte at an offset."""
    for piece in pieces:
        if 0 <= offset < len(piece):
            yield piece[:offset] + bytes([piece[offset] ^ 0xFF]) + piece[offset + 1 :]
        else:
            yield piece
        offset -= len(piece)


def _reset(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        request.transport.abort()


async def _wait_for_the_end() -> None:
    """Wait until the task is cancelled: because the client has gone, or the server stops."""
    await asyncio.get_running_loop().create_future()
