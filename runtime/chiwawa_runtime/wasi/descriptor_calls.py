"""The functions on descriptors themselves: their state, their directories' listings, their
numbers."""

from __future__ import annotations

import stat

from chiwawa_runtime.wasi.abi import (
    ALL_FSTFLAGS,
    ATIM,
    ATIM_NOW,
    BADF,
    DIRECTORY,
    DIRENT,
    FD_FILESTAT_GET,
    FD_FILESTAT_SET_TIMES,
    FD_READDIR,
    FDSTAT,
    INVAL,
    MTIM,
    MTIM_NOW,
    NAMETOOLONG,
    NOTCAPABLE,
    NOTDIR,
    PRESTAT,
    REALTIME,
    Filestat,
    WasiError,
)
from chiwawa_runtime.wasi.descriptors import (
    OPEN_DIRECTORY,
    OPEN_FILE,
    STREAM,
    Descriptor,
    filetype_of,
    joined,
)
from chiwawa_runtime.wasi.file_system import FileStatus
from chiwawa_runtime.wasi.guest import Guest
from chiwawa_runtime.wasi.process import Process

#: A host may keep times that WASI has no number for.
_LAST_TIME = (1 << 64) - 1


def fd_close(process: Process, guest: Guest, fd: int) -> int:
    process.table.close(fd)
    return 0


def fd_renumber(process: Process, guest: Guest, fd: int, to: int) -> int:
    process.table.renumber(fd, to)
    return 0


def fd_fdstat_get(process: Process, guest: Guest, fd: int, result: int) -> int:
    descriptor = process.table.get(fd)
    guest.write(
        result,
        FDSTAT.pack(
            descriptor.filetype, descriptor.flags, descriptor.rights, descriptor.inheriting
        ),
    )
    return 0


def fd_fdstat_set_rights(
    process: Process, guest: Guest, fd: int, rights: int, inheriting: int
) -> int:
    """Rights can only be given up."""
    descriptor = process.table.get(fd)
    if rights & ~descriptor.rights or inheriting & ~descriptor.inheriting:
        raise WasiError(NOTCAPABLE)
    descriptor.rights = rights
    descriptor.inheriting = inheriting
    return 0


def filestat(process: Process, found: FileStatus, guest_path: bytes) -> Filestat:
    """What the guest is told. Under a virtual clock nothing that differs between two runs or two
    hosts is shown: no times, no devices, and an inode made from the guest's path."""
    filetype = filetype_of(found.st_mode)
    if process.clock.virtual:
        size = 0 if filetype == DIRECTORY else found.st_size
        return Filestat(0, process.inode(guest_path), filetype, 1, size, 0, 0, 0)
    return Filestat(
        found.st_dev & 0xFFFFFFFFFFFFFFFF,
        found.st_ino & 0xFFFFFFFFFFFFFFFF,
        filetype,
        found.st_nlink,
        found.st_size,
        *(
            min(max(time, 0), _LAST_TIME)
            for time in (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns)
        ),
    )


def fd_filestat_get(process: Process, guest: Guest, fd: int, result: int) -> int:
    descriptor = process.table.get(fd)
    descriptor.need(FD_FILESTAT_GET)
    if descriptor.kind in (OPEN_FILE, OPEN_DIRECTORY):
        told = filestat(
            process, descriptor.files.fstat(descriptor.handle), process.guest_path(descriptor)
        )
    else:
        # A guest has no business with what stands behind its streams.
        told = Filestat(0, 0, descriptor.filetype, 0, 0, 0, 0, 0)
    guest.write(result, guest.layout.filestat(told))
    return 0


def new_times(
    process: Process, found: FileStatus, atim: int, mtim: int, flags: int
) -> tuple[int, int]:
    """The access and modification time to set, in nanoseconds."""
    if flags & ~ALL_FSTFLAGS:
        raise WasiError(INVAL)
    if (flags & ATIM and flags & ATIM_NOW) or (flags & MTIM and flags & MTIM_NOW):
        raise WasiError(INVAL)
    now = process.clock.peek(REALTIME)
    access = atim if flags & ATIM else now if flags & ATIM_NOW else found.st_atime_ns
    change = mtim if flags & MTIM else now if flags & MTIM_NOW else found.st_mtime_ns
    return access, change


def fd_filestat_set_times(
    process: Process, guest: Guest, fd: int, atim: int, mtim: int, flags: int
) -> int:
    descriptor = process.table.kind(fd, OPEN_FILE, OPEN_DIRECTORY)
    descriptor.need(FD_FILESTAT_SET_TIMES)
    if descriptor.root is not None:
        descriptor.root.must_be_writable()
    times = new_times(process, descriptor.files.fstat(descriptor.handle), atim, mtim, flags)
    try:
        descriptor.files.utime(descriptor.handle, times)
    except OverflowError:
        raise WasiError(INVAL) from None
    return 0


def _preopened(process: Process, fd: int) -> Descriptor:
    descriptor = process.table.get(fd)
    if not descriptor.preopen:
        raise WasiError(BADF)
    return descriptor


def fd_prestat_get(process: Process, guest: Guest, fd: int, result: int) -> int:
    root = _preopened(process, fd).root
    assert root is not None
    guest.write(result, PRESTAT.pack(0, len(root.guest_path)))
    return 0


def fd_prestat_dir_name(process: Process, guest: Guest, fd: int, path: int, path_len: int) -> int:
    if process.table.get(fd).kind == STREAM:
        raise WasiError(NOTDIR)
    root = _preopened(process, fd).root
    assert root is not None
    if path_len < len(root.guest_path):
        raise WasiError(NAMETOOLONG)
    guest.write(path, root.guest_path)
    return 0


def _listing(descriptor: Descriptor) -> list[bytes]:
    """Names in an order that does not depend on the host, so that positions can be carried."""
    root = descriptor.root
    assert root is not None
    names = descriptor.files.names(descriptor.handle, root.host_path, descriptor.path)
    return [b".", b"..", *sorted(names)]


def _entry(process: Process, descriptor: Descriptor, name: bytes) -> tuple[int, int] | None:
    """Inode and file type; None for what is no longer there."""
    # The directory above may be none of the guest's business: it is shown the directory itself.
    dots = name in (b".", b"..")
    try:
        found = descriptor.files.stat(b"." if dots else name, descriptor.handle)
    except OSError:
        return None
    path = joined(process.guest_path(descriptor), b"" if dots else name)
    told = filestat(process, found, path)
    return told.ino, DIRECTORY if stat.S_ISDIR(found.st_mode) else told.filetype


def fd_readdir(
    process: Process, guest: Guest, fd: int, buffer: int, size: int, cookie: int, used: int
) -> int:
    """Entries from ``cookie`` on, the last cut off where the buffer ends. Cookies count in a
    listing taken when the guest starts from the beginning, so they stay valid whatever is created
    or removed meanwhile; what has been removed is left out."""
    descriptor = process.table.kind(fd, OPEN_DIRECTORY)
    descriptor.need(FD_READDIR)
    guest.check(buffer, size)
    guest.check(used, 4)
    if cookie == 0 or descriptor.names is None:
        descriptor.names = _listing(descriptor)
    out = bytearray()
    for index in range(cookie, len(descriptor.names)):
        if len(out) >= size:
            break
        name = descriptor.names[index]
        entry = _entry(process, descriptor, name)
        if entry is not None:
            out += DIRENT.pack(index + 1, entry[0], len(name), entry[1]) + name
    del out[size:]
    guest.write(buffer, bytes(out))
    guest.put_u32(used, len(out))
    return 0
