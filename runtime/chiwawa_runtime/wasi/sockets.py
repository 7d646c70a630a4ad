"""Host sockets as the guest's descriptors."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from chiwawa_runtime.wasi.abi import (
    LISTENER_RIGHTS,
    SOCKET_DGRAM,
    SOCKET_RIGHTS,
    SOCKET_STREAM,
)
from chiwawa_runtime.wasi.descriptors import LISTENER, SOCKET, Descriptor


@contextmanager
def borrowed(handle: int) -> Iterator[socket.socket]:
    """Python's view of a host descriptor that stays ours."""
    view = socket.socket(fileno=handle)
    try:
        yield view
    finally:
        view.detach()


def describe_socket(handle: int, index: int) -> Descriptor:
    """A descriptor for a socket; ``index`` is -1 for one that was accepted. Raises OSError where
    ``handle`` is no socket."""
    with borrowed(handle) as view:
        listening = bool(view.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        filetype = SOCKET_DGRAM if view.type == socket.SOCK_DGRAM else SOCKET_STREAM
    if listening:
        # Connections accepted from it have these rights in turn.
        return Descriptor(
            LISTENER,
            filetype,
            LISTENER_RIGHTS,
            SOCKET_RIGHTS,
            handle,
            index=index,
            readable=True,
        )
    return Descriptor(
        SOCKET, filetype, SOCKET_RIGHTS, 0, handle, index=index, readable=True, writable=True
    )
