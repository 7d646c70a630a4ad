"""The guest's descriptors: what each stands for, what it may do, and the table of their numbers."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from chiwawa_runtime.wasi.abi import (
    BADF,
    BLOCK_DEVICE,
    CHARACTER_DEVICE,
    DIRECTORY,
    NOTCAPABLE,
    REGULAR_FILE,
    SOCKET_STREAM,
    SYMBOLIC_LINK,
    UNKNOWN,
    WasiError,
)
from chiwawa_runtime.wasi.file_system import FileSystem
from chiwawa_runtime.wasi.host_files import HOST
from chiwawa_runtime.wasi.paths import Root
from chiwawa_runtime.wasi.streams import Stream

#: The kinds of descriptor.
STREAM = "stream"
OPEN_FILE = "file"
OPEN_DIRECTORY = "directory"
SOCKET = "socket"
LISTENER = "listener"


@dataclass(slots=True)
class Descriptor:
    """What a number stands for.

    ``handle`` is one of ``files``, a host descriptor mostly, except of streams, which have
    ``stream`` and its ``index`` (0, 1 or 2). Files and directories have been opened below ``root``
    at ``path``, which has no links or dots in it and is empty for the root itself; ``preopen``
    marks one that the guest was given. ``readable`` and ``writable`` say how it was opened,
    whatever rights were given up since. ``names`` is the listing that directory cookies count in,
    once there is one. A socket that was inherited has its ``index`` among those; an accepted one
    has -1.
    """

    kind: str
    filetype: int
    rights: int
    inheriting: int
    handle: int = -1
    flags: int = 0
    files: FileSystem = HOST
    readable: bool = False
    writable: bool = False
    stream: Stream | None = None
    index: int = -1
    root: Root | None = None
    path: bytes = b""
    preopen: bool = False
    names: list[bytes] | None = field(default=None)

    def need(self, rights: int) -> None:
        if self.rights & rights != rights:
            raise WasiError(NOTCAPABLE)

    @property
    def given(self) -> bool:
        """Whether the guest was given it, and has not opened it."""
        # Of what is given, streams and sockets have an index.
        return self.preopen or self.index >= 0

    @property
    def is_regular(self) -> bool:
        """Whether it is read until its end, and not only as far as something has come."""
        if self.stream is not None:
            return self.stream.regular
        return self.kind == OPEN_FILE and self.filetype == REGULAR_FILE

    def close(self) -> None:
        """Give the handle back, which is gone then even where OSError says that what was
        written may be lost. Streams and a root's own handle are not ours to close."""
        handle, self.handle = self.handle, -1
        if handle >= 0 and not self.preopen:
            self.files.close(handle)


class Table:
    """Descriptors by number."""

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: dict[int, Descriptor] = {}

    def get(self, fd: int) -> Descriptor:
        try:
            return self.entries[fd]
        except KeyError:
            raise WasiError(BADF) from None

    def kind(self, fd: int, *kinds: str) -> Descriptor:
        """The descriptor ``fd``, or EBADF where it is of another kind."""
        descriptor = self.get(fd)
        if descriptor.kind not in kinds:
            raise WasiError(BADF)
        return descriptor

    def add(self, descriptor: Descriptor) -> int:
        """Give it the lowest number that is free."""
        fd = 0
        while fd in self.entries:
            fd += 1
        self.entries[fd] = descriptor
        return fd

    def opened(self) -> int:
        """How many there are that the guest has opened itself."""
        return sum(1 for each in self.entries.values() if not each.given)

    def close(self, fd: int) -> None:
        descriptor = self.get(fd)
        del self.entries[fd]
        descriptor.close()

    def renumber(self, old: int, new: int) -> None:
        """``new``, which must be open, is closed and becomes ``old``."""
        moved = self.get(old)
        self.get(new)
        if old != new:
            replaced = self.entries[new]
            self.entries[new] = moved
            del self.entries[old]
            replaced.close()

    def moved(self, root: Root, old: bytes, new_root: Root, new: bytes) -> None:
        """The guest has renamed: what is open at or below ``old`` has another path now."""
        for descriptor in self._below(root, old):
            descriptor.root = new_root
            descriptor.path = new + descriptor.path[len(old) :]

    def longest(self, root: Root, old: bytes, length: int) -> int:
        """Bytes in the longest path of what is open at or below ``old``, were that of ``length``
        bytes; 0 where nothing is."""
        paths = (d.path for d in self._below(root, old))
        return max((len(path) - len(old) + length for path in paths), default=0)

    def _below(self, root: Root, path: bytes) -> Iterator[Descriptor]:
        for descriptor in self.entries.values():
            if descriptor.root is not root or descriptor.preopen:
                continue
            if descriptor.path == path or descriptor.path.startswith(path + b"/"):
                yield descriptor


def filetype_of(mode: int) -> int:
    """The file type for a host's mode. A FIFO has no type of its own in WASI."""
    if stat.S_ISREG(mode):
        return REGULAR_FILE
    if stat.S_ISDIR(mode):
        return DIRECTORY
    if stat.S_ISLNK(mode):
        return SYMBOLIC_LINK
    if stat.S_ISCHR(mode):
        return CHARACTER_DEVICE
    if stat.S_ISBLK(mode):
        return BLOCK_DEVICE
    if stat.S_ISSOCK(mode):
        return SOCKET_STREAM
    return UNKNOWN


def joined(base: bytes, below: bytes) -> bytes:
    """A path below another, either of which may be empty."""
    return base + b"/" + below if base and below else base or below
