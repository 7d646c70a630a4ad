"""The host's files, by its own descriptors. Its kernel sees one component of a path at a time."""

from __future__ import annotations

import errno
import os

from chiwawa_runtime.errors import UnsupportedError
from chiwawa_runtime.wasi.abi import NOTSUP, PERM, WasiError
from chiwawa_runtime.wasi.streams import write_all

_SUPPORTED = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
# O_PATH needs no permission to read a directory that is only passed through.
_STEP = (
    getattr(os, "O_PATH", os.O_RDONLY)
    | getattr(os, "O_DIRECTORY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
_OPEN_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
# Without O_NONBLOCK the opening of a FIFO would wait where no request can interrupt it.
_ALWAYS = 0
for _name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY"):
    _ALWAYS |= getattr(os, _name, 0)


def open_root(host_path: str | os.PathLike[str]) -> int:
    """A host descriptor for a directory that a guest is given. Raises OSError."""
    if not _SUPPORTED:
        raise UnsupportedError(
            "directories for a guest need openat and O_NOFOLLOW, which this host lacks"
        )
    return os.open(host_path, _OPEN_DIRECTORY)


class HostFiles:
    """The ``FileSystem`` of the host."""

    def open(self, name: bytes, flags: int, directory: int) -> int:
        return os.open(name, flags | _ALWAYS, 0o666, dir_fd=directory)

    def step(self, name: bytes, directory: int) -> int:
        return os.open(name, _STEP, dir_fd=directory)

    def close(self, handle: int) -> None:
        os.close(handle)

    def fstat(self, handle: int) -> os.stat_result:
        return os.fstat(handle)

    def stat(self, name: bytes, directory: int) -> os.stat_result:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)

    def readlink(self, name: bytes, directory: int) -> bytes:
        return os.readlink(name, dir_fd=directory)

    def names(self, handle: int, root: bytes, path: bytes) -> list[bytes]:
        by_handle = os.listdir in os.supports_fd
        names = os.listdir(handle) if by_handle else _names_by_path(handle, root, path)
        return [os.fsencode(name) for name in names]

    def read(self, handle: int, n: int) -> bytes:
        return os.read(handle, n)

    def pread(self, handle: int, n: int, offset: int) -> bytes:
        return os.pread(handle, n, offset)

    def write(self, handle: int, content: bytes, offset: int | None = None) -> int:
        return write_all(handle, content, offset)

    def seek(self, handle: int, offset: int, whence: int) -> int:
        return os.lseek(handle, offset, whence)

    def truncate(self, handle: int, size: int) -> None:
        os.ftruncate(handle, size)

    def allocate(self, handle: int, offset: int, length: int) -> None:
        if not hasattr(os, "posix_fallocate"):
            raise WasiError(NOTSUP)
        os.posix_fallocate(handle, offset, length)

    def advise(self, handle: int, offset: int, length: int, advice: str) -> None:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(handle, offset, length, getattr(os, advice))

    def sync(self, handle: int) -> None:
        os.fsync(handle)

    def datasync(self, handle: int) -> None:
        getattr(os, "fdatasync", os.fsync)(handle)

    def set_append(self, handle: int, append: bool) -> None:
        """ENOTSUP where the host cannot change that of an open file: WASI says so, Pyodide does
        not."""
        try:
            import fcntl
        except ImportError:
            raise WasiError(NOTSUP) from None
        flags = fcntl.fcntl(handle, fcntl.F_GETFL)
        flags = flags | os.O_APPEND if append else flags & ~os.O_APPEND
        fcntl.fcntl(handle, fcntl.F_SETFL, flags)
        if bool(fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_APPEND) != append:
            raise WasiError(NOTSUP)

    def utime(self, handle: int, times: tuple[int, int]) -> None:
        os.utime(handle, ns=times)

    def utime_of(self, name: bytes, directory: int, times: tuple[int, int]) -> None:
        os.utime(name, ns=times, dir_fd=directory, follow_symlinks=False)

    def mkdir(self, name: bytes, directory: int) -> None:
        os.mkdir(name, 0o777, dir_fd=directory)

    def rmdir(self, name: bytes, directory: int) -> None:
        os.rmdir(name, dir_fd=directory)

    def unlink(self, name: bytes, directory: int) -> None:
        os.unlink(name, dir_fd=directory)

    def symlink(self, target: bytes, name: bytes, directory: int) -> None:
        os.symlink(target, name, dir_fd=directory)

    def link(self, old: bytes, directory: int, new: bytes, new_directory: int) -> None:
        """A second name for what ``old`` names, were it a symbolic link."""
        if not hasattr(os, "link"):
            raise WasiError(NOTSUP)
        before = self.stat(old, directory)
        try:
            os.link(old, new, src_dir_fd=directory, dst_dir_fd=new_directory, follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            # PyPy asks the host for a flag that it does not know; told to follow, it does not.
            # Whether that is still so is seen by what has been linked.
            os.link(old, new, src_dir_fd=directory, dst_dir_fd=new_directory)
            after = self.stat(new, new_directory)
            if (after.st_dev, after.st_ino) != (before.st_dev, before.st_ino):
                os.unlink(new, dir_fd=new_directory)
                raise WasiError(PERM) from None

    def rename(self, old: bytes, directory: int, new: bytes, new_directory: int) -> None:
        os.rename(old, new, src_dir_fd=directory, dst_dir_fd=new_directory)


def _names_by_path(handle: int, root: bytes, path: bytes) -> list[bytes]:
    """Names, on hosts that list no descriptors, as WASI. ENOTSUP where what is at the path is not
    what the descriptor is of, before as after."""
    place = os.path.join(root, path)
    here = os.fstat(handle)
    names: list[bytes] = []
    for listed in (False, True):
        found = os.stat(place, follow_symlinks=False) if path else os.stat(place)
        if (found.st_dev, found.st_ino) != (here.st_dev, here.st_ino):
            raise WasiError(NOTSUP)
        if not listed:
            names = os.listdir(place)
    return names


HOST = HostFiles()
