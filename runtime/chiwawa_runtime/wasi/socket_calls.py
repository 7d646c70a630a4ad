"""The functions on sockets that the guest has inherited, or accepted from those."""

from __future__ import annotations

import itertools
import socket

from chiwawa_runtime.engine.awaiting import wait_no_more
from chiwawa_runtime.errors import Interrupted
from chiwawa_runtime.wasi.abi import (
    AGAIN,
    FD_READ,
    FD_WRITE,
    INVAL,
    MSGSIZE,
    NONBLOCK,
    NOSPC,
    NOTSOCK,
    RECV_PEEK,
    RECV_WAITALL,
    SHUT_RD,
    SHUT_WR,
    SOCK_ACCEPT,
    SOCK_SHUTDOWN,
    SOCKET_DGRAM,
    WasiError,
)
from chiwawa_runtime.wasi.descriptors import LISTENER, SOCKET, Descriptor
from chiwawa_runtime.wasi.guest import PIECE, Guest
from chiwawa_runtime.wasi.process import Process
from chiwawa_runtime.wasi.sockets import borrowed, describe_socket
from chiwawa_runtime.wasi.waiting import ready, wait


def _socket(process: Process, fd: int, rights: int) -> Descriptor:
    descriptor = process.table.get(fd)
    if descriptor.kind not in (SOCKET, LISTENER):
        raise WasiError(NOTSOCK)
    if descriptor.kind == LISTENER:
        raise WasiError(INVAL)
    descriptor.need(rights)
    return descriptor


def _await(descriptor: Descriptor, guest: Guest, *, writing: bool = False) -> None:
    handles = [descriptor.handle]
    if descriptor.flags & NONBLOCK:
        if not ready([] if writing else handles, handles if writing else [], 0):
            raise WasiError(AGAIN)
        return
    wait(descriptor.handle, guest.pending, writing=writing)


def sock_accept(process: Process, guest: Guest, fd: int, flags: int, result: int) -> int:
    descriptor = process.table.get(fd)
    if descriptor.kind not in (SOCKET, LISTENER):
        raise WasiError(NOTSOCK)
    if descriptor.kind != LISTENER or flags & ~NONBLOCK:
        raise WasiError(INVAL)
    descriptor.need(SOCK_ACCEPT)
    guest.check(result, 4)
    process.check_files()
    _await(descriptor, guest)
    with borrowed(descriptor.handle) as view:
        connection, _ = view.accept()
    connection.setblocking(True)
    accepted = describe_socket(connection.detach(), -1)
    accepted.rights &= descriptor.inheriting
    accepted.flags = flags
    guest.put_u32(result, process.table.add(accepted))
    return 0


def sock_recv(
    process: Process,
    guest: Guest,
    fd: int,
    iovs: int,
    iovs_len: int,
    flags: int,
    received: int,
    result_flags: int,
) -> int:
    descriptor = _socket(process, fd, FD_READ)
    if flags & ~(RECV_PEEK | RECV_WAITALL):
        raise WasiError(INVAL)
    vectors = guest.iovecs(iovs, iovs_len)
    guest.check(received, 4)
    guest.check(result_flags, 2)
    total = min(sum(n for _, n in vectors), PIECE)
    content = bytearray()
    while total > len(content):
        try:
            _await(descriptor, guest)
        except (WasiError, Interrupted):
            # What has come would be lost.
            if not content:
                raise
            wait_no_more()
            break
        with borrowed(descriptor.handle) as view:
            peek = socket.MSG_PEEK if flags & RECV_PEEK else 0
            piece = view.recv(total - len(content), peek)
        content += piece
        if not piece or not flags & RECV_WAITALL or peek:
            break
    guest.scatter(vectors, bytes(content))
    guest.put_u32(received, len(content))
    guest.write(result_flags, b"\0\0")
    return 0


def sock_send(
    process: Process, guest: Guest, fd: int, iovs: int, iovs_len: int, flags: int, sent: int
) -> int:
    descriptor = _socket(process, fd, FD_WRITE)
    if flags:
        raise WasiError(INVAL)
    vectors = guest.iovecs(iovs, iovs_len)
    guest.check(sent, 4)
    batches = [*itertools.islice(guest.batches(vectors), 2)]
    if len(batches) > 1 and descriptor.filetype == SOCKET_DGRAM:
        # A part of a message would be another message.
        raise WasiError(MSGSIZE)
    content = guest.gather(batches[0]) if batches else b""
    allowed = process.writable(content)
    if len(allowed) < len(content) and descriptor.filetype == SOCKET_DGRAM:
        raise WasiError(NOSPC)
    _await(descriptor, guest, writing=True)
    with borrowed(descriptor.handle) as view:
        done = view.send(allowed, getattr(socket, "MSG_DONTWAIT", 0))
    process.written(done)
    guest.put_u32(sent, done)
    return 0


def sock_shutdown(process: Process, guest: Guest, fd: int, how: int) -> int:
    descriptor = _socket(process, fd, SOCK_SHUTDOWN)
    if not how or how & ~(SHUT_RD | SHUT_WR):
        raise WasiError(INVAL)
    both = {SHUT_RD: socket.SHUT_RD, SHUT_WR: socket.SHUT_WR}
    with borrowed(descriptor.handle) as view:
        view.shutdown(both.get(how, socket.SHUT_RDWR))
    return 0
