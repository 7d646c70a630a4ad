"""The functions on paths. Each resolves its paths in the sandbox and then asks the host for one
component in one directory, never following a link."""

from __future__ import annotations

import errno
import os
import stat
import sys
import time

from chiwawa_runtime.errors import Interrupted
from chiwawa_runtime.wasi.abi import (
    ALL_FDFLAGS,
    ALL_OFLAGS,
    APPEND,
    BADF,
    BUSY,
    CREAT,
    DIRECTORY_RIGHTS,
    EXCL,
    EXIST,
    FD_READ,
    FD_WRITE,
    FILE_RIGHTS,
    INHERITED_RIGHTS,
    INVAL,
    ISDIR,
    LOOP,
    NAMETOOLONG,
    NONBLOCK,
    NOTCAPABLE,
    NOTDIR,
    OPEN_DIRECTORY,
    PATH_CREATE_DIRECTORY,
    PATH_CREATE_FILE,
    PATH_FILESTAT_GET,
    PATH_FILESTAT_SET_SIZE,
    PATH_FILESTAT_SET_TIMES,
    PATH_LINK_SOURCE,
    PATH_LINK_TARGET,
    PATH_OPEN,
    PATH_READLINK,
    PATH_REMOVE_DIRECTORY,
    PATH_RENAME_SOURCE,
    PATH_RENAME_TARGET,
    PATH_SYMLINK,
    PATH_UNLINK_FILE,
    PERM,
    SYMLINK_FOLLOW,
    TRUNC,
    XDEV,
    WasiError,
)
from chiwawa_runtime.wasi.descriptor_calls import filestat, new_times
from chiwawa_runtime.wasi.descriptors import (
    OPEN_DIRECTORY as DIRECTORY_KIND,
)
from chiwawa_runtime.wasi.descriptors import (
    OPEN_FILE,
    Descriptor,
    filetype_of,
    joined,
)
from chiwawa_runtime.wasi.file_system import O_DIRECTORY, FileSystem
from chiwawa_runtime.wasi.guest import Guest
from chiwawa_runtime.wasi.paths import Place, Root, resolve
from chiwawa_runtime.wasi.process import Process
from chiwawa_runtime.wasi.waiting import SLICE

#: Bytes in the path of what is open, from the directory that was given. A guest that opens
#: directories one below the other comes deeper than a host's path can say.
_LONGEST = 1 << 16


def _directory(process: Process, fd: int, rights: int) -> tuple[Descriptor, Root]:
    descriptor = process.table.get(fd)
    if descriptor.kind != DIRECTORY_KIND:
        raise WasiError(NOTDIR if descriptor.kind == OPEN_FILE else BADF)
    descriptor.need(rights)
    assert descriptor.root is not None
    return descriptor, descriptor.root


def _follows(flags: int) -> bool:
    if flags & ~SYMLINK_FOLLOW:
        raise WasiError(INVAL)
    return bool(flags)


def open_here(place: Place, flags: int, pending: list[str], nonblocking: bool = False) -> int:
    """A handle for what ``place`` names. A FIFO without a reader is waited for, unless
    ``nonblocking``; raises Interrupted when a request comes meanwhile, and otherwise OSError or
    WasiError."""
    if sys.platform == "wasi" and flags & os.O_WRONLY and not flags & (os.O_CREAT | O_DIRECTORY):
        # wasmtime has a file below a directory that is open to be read be written only where it
        # might be created, and says so at the first write.
        if stat.S_ISDIR(place.stat().st_mode):
            raise WasiError(ISDIR)
        flags |= os.O_CREAT
    while True:
        try:
            return place.files.open(place.name, flags, place.handle)
        except OSError as error:
            if error.errno == errno.ENOTDIR and place.link(place.name) is not None:
                raise WasiError(LOOP) from None
            if error.errno != errno.ENXIO or nonblocking or not stat.S_ISFIFO(place.stat().st_mode):
                raise
        if pending:
            raise Interrupted
        time.sleep(SLICE)


def host_flags(readable: bool, writable: bool, append: bool) -> int:
    access = os.O_RDWR if readable else os.O_WRONLY
    return (access if writable else os.O_RDONLY) | (os.O_APPEND if append else 0)


def describe(
    files: FileSystem,
    handle: int,
    rights: int,
    inheriting: int,
    flags: int,
    readable: bool,
    writable: bool,
) -> Descriptor:
    """A descriptor for what has just been opened, with the rights that apply to it."""
    found = files.fstat(handle)
    filetype = filetype_of(found.st_mode)
    if stat.S_ISDIR(found.st_mode):
        return Descriptor(
            DIRECTORY_KIND, filetype, rights & DIRECTORY_RIGHTS, inheriting, handle, flags, files
        )
    if not stat.S_ISREG(found.st_mode):
        os.set_blocking(handle, True)
    rights &= FILE_RIGHTS
    return Descriptor(
        OPEN_FILE, filetype, rights, inheriting, handle, flags, files, readable, writable
    )


def path_open(
    process: Process,
    guest: Guest,
    fd: int,
    dirflags: int,
    path: int,
    path_len: int,
    oflags: int,
    rights: int,
    inheriting: int,
    fdflags: int,
    opened: int,
) -> int:
    creating = (PATH_CREATE_FILE if oflags & CREAT else 0) | (
        PATH_FILESTAT_SET_SIZE if oflags & TRUNC else 0
    )
    base, root = _directory(process, fd, PATH_OPEN | creating)
    follow = _follows(dirflags)
    if oflags & ~ALL_OFLAGS or fdflags & ~ALL_FDFLAGS:
        raise WasiError(INVAL)
    if oflags & OPEN_DIRECTORY and oflags & (CREAT | EXCL | TRUNC):
        raise WasiError(INVAL)
    inheriting &= INHERITED_RIGHTS
    if inheriting & ~base.inheriting or (creating and rights & FILE_RIGHTS & ~base.inheriting):
        raise WasiError(NOTCAPABLE)
    guest.check(opened, 4)
    process.check_files()
    name = guest.path(path, path_len)
    writable = bool(rights & FD_WRITE)
    readable = bool(rights & FD_READ) or not writable
    flags = host_flags(readable, writable, bool(fdflags & APPEND))
    if oflags & CREAT:
        flags |= os.O_CREAT
        if oflags & EXCL:
            # A link that leads nowhere exists all the same.
            flags |= os.O_EXCL
            follow = False
    flags |= os.O_TRUNC if oflags & TRUNC else 0
    flags |= O_DIRECTORY if oflags & OPEN_DIRECTORY else 0
    if oflags & CREAT and name.endswith(b"/"):
        # No file can be created there, wherever it leads.
        follow = False
    with resolve(base.files, base.handle, name, follow, slash_follows=not oflags & CREAT) as place:
        if creating or writable:
            root.must_be_writable()
        if place.directory and oflags & CREAT:
            raise WasiError(ISDIR)
        flags |= O_DIRECTORY if place.directory else 0
        below = joined(base.path, place.path)
        if len(below) > _LONGEST:
            raise WasiError(NAMETOOLONG)
        handle = open_here(place, flags, guest.pending, bool(fdflags & NONBLOCK))
        descriptor = describe(place.files, handle, rights, inheriting, fdflags, readable, writable)
        descriptor.root = root
        descriptor.path = below
    if descriptor.rights & ~base.inheriting:
        descriptor.close()
        raise WasiError(NOTCAPABLE)
    guest.put_u32(opened, process.table.add(descriptor))
    return 0


def path_filestat_get(
    process: Process, guest: Guest, fd: int, flags: int, path: int, path_len: int, result: int
) -> int:
    base, root = _directory(process, fd, PATH_FILESTAT_GET)
    name = guest.path(path, path_len)
    with resolve(base.files, base.handle, name, _follows(flags)) as place:
        found = place.stat()
        guest_path = joined(root.guest_path, joined(base.path, place.path))
    guest.write(result, guest.layout.filestat(filestat(process, found, guest_path)))
    return 0


def path_filestat_set_times(
    process: Process,
    guest: Guest,
    fd: int,
    flags: int,
    path: int,
    path_len: int,
    atim: int,
    mtim: int,
    fstflags: int,
) -> int:
    base, root = _directory(process, fd, PATH_FILESTAT_SET_TIMES)
    name = guest.path(path, path_len)
    with resolve(base.files, base.handle, name, _follows(flags)) as place:
        root.must_be_writable()
        times = new_times(process, place.stat(), atim, mtim, fstflags)
        try:
            place.files.utime_of(place.name, place.handle, times)
        except OverflowError:
            raise WasiError(INVAL) from None
    return 0


def path_create_directory(process: Process, guest: Guest, fd: int, path: int, path_len: int) -> int:
    base, root = _directory(process, fd, PATH_CREATE_DIRECTORY)
    name = guest.path(path, path_len)
    with resolve(base.files, base.handle, name, False, slash_follows=False) as place:
        root.must_be_writable()
        place.files.mkdir(place.name, place.handle)
    return 0


def path_remove_directory(process: Process, guest: Guest, fd: int, path: int, path_len: int) -> int:
    base, root = _directory(process, fd, PATH_REMOVE_DIRECTORY)
    name = guest.path(path, path_len)
    with resolve(base.files, base.handle, name, False, slash_follows=False) as place:
        root.must_be_writable()
        if place.name == b".":
            raise WasiError(INVAL)
        place.files.rmdir(place.name, place.handle)
    return 0


def path_unlink_file(process: Process, guest: Guest, fd: int, path: int, path_len: int) -> int:
    base, root = _directory(process, fd, PATH_UNLINK_FILE)
    name = guest.path(path, path_len)
    with resolve(base.files, base.handle, name, False, slash_follows=False) as place:
        root.must_be_writable()
        # Hosts differ in what they say of a directory.
        if stat.S_ISDIR(place.stat().st_mode):
            raise WasiError(ISDIR)
        place.files.unlink(place.name, place.handle)
    return 0


def path_readlink(
    process: Process,
    guest: Guest,
    fd: int,
    path: int,
    path_len: int,
    buffer: int,
    size: int,
    used: int,
) -> int:
    base, _ = _directory(process, fd, PATH_READLINK)
    name = guest.path(path, path_len)
    guest.check(buffer, size)
    guest.check(used, 4)
    with resolve(base.files, base.handle, name, False) as place:
        if place.directory:
            place.stat()
            raise WasiError(INVAL)
        target = place.files.readlink(place.name, place.handle)
    if target.startswith(b"/"):
        # It would tell of the host's directories, and can lead nowhere.
        raise WasiError(PERM)
    guest.write(buffer, target[:size])
    guest.put_u32(used, min(len(target), size))
    return 0


def _nothing_with_a_slash(place: Place) -> None:
    """A new name that is no directory's cannot end with a slash."""
    if place.directory:
        place.stat()
        raise WasiError(EXIST)


def path_symlink(
    process: Process,
    guest: Guest,
    old_path: int,
    old_path_len: int,
    fd: int,
    new_path: int,
    new_path_len: int,
) -> int:
    base, root = _directory(process, fd, PATH_SYMLINK)
    target = guest.path(old_path, old_path_len)
    name = guest.path(new_path, new_path_len)
    if target.startswith(b"/"):
        raise WasiError(PERM)
    with resolve(base.files, base.handle, name, False, slash_follows=False) as place:
        root.must_be_writable()
        _nothing_with_a_slash(place)
        place.files.symlink(target, place.name, place.handle)
    return 0


def _must_be_together(old: Place, new: Place) -> None:
    """EXDEV between the host and memory, as between two disks."""
    if old.files is not new.files:
        raise WasiError(XDEV)


def path_link(
    process: Process,
    guest: Guest,
    old_fd: int,
    old_flags: int,
    old_path: int,
    old_path_len: int,
    new_fd: int,
    new_path: int,
    new_path_len: int,
) -> int:
    old_base, old_root = _directory(process, old_fd, PATH_LINK_SOURCE)
    new_base, new_root = _directory(process, new_fd, PATH_LINK_TARGET)
    old_name = guest.path(old_path, old_path_len)
    new_name = guest.path(new_path, new_path_len)
    with (
        resolve(old_base.files, old_base.handle, old_name, _follows(old_flags)) as old,
        resolve(new_base.files, new_base.handle, new_name, False, slash_follows=False) as new,
    ):
        # A second name in a directory that may be written would be a way to write the file.
        old_root.must_be_writable()
        new_root.must_be_writable()
        if stat.S_ISDIR(old.stat().st_mode):
            raise WasiError(PERM)
        _nothing_with_a_slash(new)
        _must_be_together(old, new)
        old.files.link(old.name, old.handle, new.name, new.handle)
    return 0


def path_rename(
    process: Process,
    guest: Guest,
    old_fd: int,
    old_path: int,
    old_path_len: int,
    new_fd: int,
    new_path: int,
    new_path_len: int,
) -> int:
    old_base, old_root = _directory(process, old_fd, PATH_RENAME_SOURCE)
    new_base, new_root = _directory(process, new_fd, PATH_RENAME_TARGET)
    old_name = guest.path(old_path, old_path_len)
    new_name = guest.path(new_path, new_path_len)
    with (
        resolve(old_base.files, old_base.handle, old_name, False, slash_follows=False) as old,
        resolve(new_base.files, new_base.handle, new_name, False, slash_follows=False) as new,
    ):
        old_root.must_be_writable()
        new_root.must_be_writable()
        if b"." in (old.name, new.name):
            raise WasiError(BUSY)
        if new.directory and not stat.S_ISDIR(old.stat().st_mode):
            raise WasiError(NOTDIR)
        if old.directory:
            old.stat()
        before = joined(old_base.path, old.path)
        after = joined(new_base.path, new.path)
        if process.table.longest(old_root, before, len(after)) > _LONGEST:
            raise WasiError(NAMETOOLONG)
        _must_be_together(old, new)
        old.files.rename(old.name, old.handle, new.name, new.handle)
        process.table.moved(old_root, before, new_root, after)
    return 0
