"""The functions on descriptors that read, write and move: fd_read to fd_tell."""

from __future__ import annotations

import os
from collections.abc import Callable

from chiwawa_runtime.engine.awaiting import wait_no_more
from chiwawa_runtime.errors import Interrupted
from chiwawa_runtime.wasi.abi import (
    AGAIN,
    ALL_FDFLAGS,
    APPEND,
    BADF,
    DSYNC,
    FD_ADVISE,
    FD_ALLOCATE,
    FD_DATASYNC,
    FD_FDSTAT_SET_FLAGS,
    FD_FILESTAT_SET_SIZE,
    FD_READ,
    FD_SEEK,
    FD_SYNC,
    FD_TELL,
    FD_WRITE,
    INVAL,
    NONBLOCK,
    NOSPC,
    REGULAR_FILE,
    SPIPE,
    SYNC,
    WasiError,
)
from chiwawa_runtime.wasi.descriptors import (
    LISTENER,
    OPEN_DIRECTORY,
    OPEN_FILE,
    SOCKET,
    STREAM,
    Descriptor,
)
from chiwawa_runtime.wasi.guest import Guest
from chiwawa_runtime.wasi.process import Process
from chiwawa_runtime.wasi.waiting import ready, wait

_MAX_OFFSET = (1 << 63) - 1
_ADVICE = (
    "POSIX_FADV_NORMAL",
    "POSIX_FADV_SEQUENTIAL",
    "POSIX_FADV_RANDOM",
    "POSIX_FADV_WILLNEED",
    "POSIX_FADV_DONTNEED",
    "POSIX_FADV_NOREUSE",
)


def _positioned(process: Process, fd: int) -> Descriptor:
    """A descriptor that has positions: ESPIPE for streams, EBADF for directories."""
    descriptor = process.table.get(fd)
    if descriptor.kind == STREAM:
        raise WasiError(SPIPE)
    if descriptor.kind == OPEN_DIRECTORY:
        raise WasiError(BADF)
    if descriptor.kind != OPEN_FILE:
        raise WasiError(SPIPE)
    return descriptor


def _receive(descriptor: Descriptor, n: int, pending: list[str]) -> bytes:
    """At most ``n`` bytes from where the descriptor is."""
    nonblocking = bool(descriptor.flags & NONBLOCK)
    if descriptor.stream is not None:
        return descriptor.stream.read(n, pending, nonblocking)
    if descriptor.filetype != REGULAR_FILE:
        if nonblocking and not ready([descriptor.handle], [], 0):
            raise WasiError(AGAIN)
        wait(descriptor.handle, pending)
    return descriptor.files.read(descriptor.handle, n)


def _fill(
    guest: Guest,
    vectors: list[tuple[int, int]],
    source: Callable[[int, int], bytes],
    to_the_end: bool,
) -> int:
    """Fill the buffers from ``source``, which is told how many bytes to give at most and how many
    it has given; how many in all. Fewer than there is room for at the end, after an error, or when
    a request to stop comes; and, unless ``to_the_end``, where the source gave no more at once."""
    done = 0
    for batch in guest.batches(vectors):
        wanted = sum(n for _, n in batch)
        try:
            content = source(wanted, done)
        except OSError:
            if not done:
                raise
            break
        guest.scatter(batch, content)
        done += len(content)
        if len(content) < wanted or not to_the_end or guest.pending:
            break
    return done


def fd_read(process: Process, guest: Guest, fd: int, iovs: int, iovs_len: int, nread: int) -> int:
    descriptor = process.table.get(fd)
    if not descriptor.readable:
        raise WasiError(BADF)
    descriptor.need(FD_READ)
    vectors = guest.iovecs(iovs, iovs_len)
    guest.check(nread, 4)
    done = _fill(
        guest,
        vectors,
        lambda n, _: _receive(descriptor, n, guest.pending),
        descriptor.is_regular,
    )
    guest.put_u32(nread, done)
    return 0


def fd_pread(
    process: Process, guest: Guest, fd: int, iovs: int, iovs_len: int, offset: int, nread: int
) -> int:
    descriptor = _positioned(process, fd)
    if not descriptor.readable:
        raise WasiError(BADF)
    descriptor.need(FD_READ | FD_SEEK)
    vectors = guest.iovecs(iovs, iovs_len)
    guest.check(nread, 4)
    if offset > _MAX_OFFSET:
        raise WasiError(INVAL)
    done = _fill(
        guest,
        vectors,
        lambda n, done: descriptor.files.pread(
            descriptor.handle, n, min(offset + done, _MAX_OFFSET)
        ),
        True,
    )
    guest.put_u32(nread, done)
    return 0


def _synchronize(descriptor: Descriptor) -> None:
    """The flags that say that a write is durable when it returns."""
    if descriptor.flags & SYNC:
        descriptor.files.sync(descriptor.handle)
    elif descriptor.flags & DSYNC:
        descriptor.files.datasync(descriptor.handle)


def _send(descriptor: Descriptor, content: bytes, pending: list[str]) -> int:
    """Write where the descriptor is; how many bytes. Fewer only where something went wrong after
    some, or where a pipe takes no more."""
    nonblocking = bool(descriptor.flags & NONBLOCK)
    if descriptor.stream is not None:
        taken = descriptor.stream.write(content, pending, nonblocking)
        if descriptor.stream.wrote is not None:
            descriptor.stream.wrote(content[:taken])
        return taken
    if descriptor.filetype == REGULAR_FILE:
        return descriptor.files.write(descriptor.handle, content)
    if nonblocking and not ready([], [descriptor.handle], 0):
        raise WasiError(AGAIN)
    wait(descriptor.handle, pending, writing=True)
    return os.write(descriptor.handle, content[:4096])


def _drain(
    process: Process,
    guest: Guest,
    vectors: list[tuple[int, int]],
    sink: Callable[[bytes, int], int],
) -> int:
    """Give the buffers to ``sink``, which is told how many bytes it has had; how many it took.
    Fewer than there are after an error, when a request to stop comes, where it took no more, or the
    guest may write no more."""
    done = 0
    for batch in guest.batches(vectors):
        content = guest.gather(batch)
        try:
            taken = sink(process.writable(content), done)
        except (OSError, OverflowError, WasiError, Interrupted):
            if not done:
                raise
            wait_no_more()
            break
        process.written(taken)
        done += taken
        if taken < len(content) or guest.pending:
            break
    return done


def fd_write(
    process: Process, guest: Guest, fd: int, iovs: int, iovs_len: int, nwritten: int
) -> int:
    descriptor = process.table.get(fd)
    if not descriptor.writable:
        raise WasiError(BADF)
    descriptor.need(FD_WRITE)
    vectors = guest.iovecs(iovs, iovs_len)
    guest.check(nwritten, 4)
    done = _drain(
        process, guest, vectors, lambda content, _: _send(descriptor, content, guest.pending)
    )
    if done and descriptor.kind == OPEN_FILE:
        _synchronize(descriptor)
    guest.put_u32(nwritten, done)
    return 0


def fd_pwrite(
    process: Process, guest: Guest, fd: int, iovs: int, iovs_len: int, offset: int, nwritten: int
) -> int:
    descriptor = _positioned(process, fd)
    if not descriptor.writable:
        raise WasiError(BADF)
    descriptor.need(FD_WRITE | FD_SEEK)
    vectors = guest.iovecs(iovs, iovs_len)
    guest.check(nwritten, 4)
    if offset > _MAX_OFFSET:
        raise WasiError(INVAL)
    # Linux appends whatever the offset, where the file is open for appending.
    if descriptor.flags & APPEND:
        descriptor.files.set_append(descriptor.handle, False)
    try:
        done = _drain(
            process,
            guest,
            vectors,
            lambda content, done: descriptor.files.write(descriptor.handle, content, offset + done),
        )
    finally:
        if descriptor.flags & APPEND:
            descriptor.files.set_append(descriptor.handle, True)
    _synchronize(descriptor)
    guest.put_u32(nwritten, done)
    return 0


def fd_seek(
    process: Process, guest: Guest, fd: int, offset: int, whence: int, newoffset: int
) -> int:
    descriptor = _positioned(process, fd)
    if whence > 2:
        raise WasiError(INVAL)
    offset = (offset ^ 1 << 63) - (1 << 63)
    word = guest.layout.whences[whence]
    # To learn where one is, the lesser right is enough.
    descriptor.need(FD_TELL if word == "current" and not offset else FD_SEEK)
    guest.check(newoffset, 8)
    host = {"start": os.SEEK_SET, "current": os.SEEK_CUR, "end": os.SEEK_END}[word]
    guest.put_u64(newoffset, descriptor.files.seek(descriptor.handle, offset, host))
    return 0


def fd_tell(process: Process, guest: Guest, fd: int, offset: int) -> int:
    descriptor = _positioned(process, fd)
    descriptor.need(FD_TELL)
    guest.check(offset, 8)
    guest.put_u64(offset, descriptor.files.seek(descriptor.handle, 0, os.SEEK_CUR))
    return 0


def fd_advise(
    process: Process, guest: Guest, fd: int, offset: int, length: int, advice: int
) -> int:
    descriptor = process.table.kind(fd, OPEN_FILE)
    descriptor.need(FD_ADVISE)
    if advice >= len(_ADVICE) or offset > _MAX_OFFSET or length > _MAX_OFFSET:
        raise WasiError(INVAL)
    # Advice may be ignored, as it is by hosts that cannot be advised.
    if descriptor.filetype == REGULAR_FILE:
        descriptor.files.advise(descriptor.handle, offset, length, _ADVICE[advice])
    return 0


def fd_allocate(process: Process, guest: Guest, fd: int, offset: int, length: int) -> int:
    descriptor = process.table.kind(fd, OPEN_FILE)
    if not descriptor.writable:
        raise WasiError(BADF)
    descriptor.need(FD_ALLOCATE)
    if not length or offset + length > _MAX_OFFSET:
        raise WasiError(INVAL)
    if process.output_left is not None and length > process.output_left:
        raise WasiError(NOSPC)
    descriptor.files.allocate(descriptor.handle, offset, length)
    process.written(length)
    return 0


def fd_filestat_set_size(process: Process, guest: Guest, fd: int, size: int) -> int:
    descriptor = process.table.kind(fd, OPEN_FILE)
    if descriptor.root is not None:
        descriptor.root.must_be_writable()
    if not descriptor.writable:
        raise WasiError(INVAL)
    descriptor.need(FD_FILESTAT_SET_SIZE)
    if size > _MAX_OFFSET:
        raise WasiError(INVAL)
    descriptor.files.truncate(descriptor.handle, size)
    return 0


def fd_sync(process: Process, guest: Guest, fd: int) -> int:
    descriptor = process.table.kind(fd, OPEN_FILE)
    descriptor.need(FD_SYNC)
    descriptor.files.sync(descriptor.handle)
    return 0


def fd_datasync(process: Process, guest: Guest, fd: int) -> int:
    descriptor = process.table.kind(fd, OPEN_FILE)
    descriptor.need(FD_DATASYNC)
    descriptor.files.datasync(descriptor.handle)
    return 0


def fd_fdstat_set_flags(process: Process, guest: Guest, fd: int, flags: int) -> int:
    descriptor = process.table.kind(fd, OPEN_FILE, STREAM, SOCKET, LISTENER)
    descriptor.need(FD_FDSTAT_SET_FLAGS)
    if flags & ~ALL_FDFLAGS:
        raise WasiError(INVAL)
    if descriptor.kind == OPEN_FILE and (flags ^ descriptor.flags) & APPEND:
        descriptor.files.set_append(descriptor.handle, bool(flags & APPEND))
    descriptor.flags = flags
    return 0
