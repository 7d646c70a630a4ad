"""The process that a guest is to WASI: what it was given and what it has open. Calls read it and
change it; it knows nothing of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any, BinaryIO

from chiwawa_runtime.errors import BadInput
from chiwawa_runtime.wasi.abi import (
    DIRECTORY,
    DIRECTORY_RIGHTS,
    FD_READ,
    FD_WRITE,
    INHERITED_RIGHTS,
    MFILE,
    NOSPC,
    STREAM_RIGHTS,
    WasiError,
)
from chiwawa_runtime.wasi.clocks import Clock, HostClock, VirtualClock
from chiwawa_runtime.wasi.descriptors import OPEN_DIRECTORY, STREAM, Descriptor, Table, joined
from chiwawa_runtime.wasi.entropy import Entropy
from chiwawa_runtime.wasi.host_files import open_root
from chiwawa_runtime.wasi.memory_files import MemoryFiles
from chiwawa_runtime.wasi.paths import Root
from chiwawa_runtime.wasi.sockets import describe_socket
from chiwawa_runtime.wasi.streams import Stream

#: A directory for the guest: where it is, on the host or in memory, what the guest calls it, and
#: whether it is only to be read.
Dir = tuple[str | os.PathLike[str] | MemoryFiles, str | bytes, bool]
#: Devices of the host have no number as high.
_FIRST_DEVICE = 1 << 63
Source = int | BinaryIO | Any


class Process:
    """A process without open files but the standard streams, of three sources. ``args`` has the
    program's name first, ``env`` lists ``NAME=VALUE``. Raises BadInput for a string that cannot be
    passed on."""

    def __init__(
        self,
        args: Sequence[str | bytes],
        env: Sequence[str | bytes],
        sources: tuple[Source, Source, Source],
        *,
        deterministic: bool,
    ) -> None:
        self.args = [_string(a, "argument") for a in args]
        self.env = [_string(e, "environment variable") for e in env]
        self.deterministic = deterministic
        self.clock: Clock = VirtualClock() if deterministic else HostClock()
        self.entropy = Entropy(0 if deterministic else None)
        #: Nanoseconds that an interrupted sleep has lasted.
        self.waited = 0
        self.streams = tuple(Stream(source) for source in sources)
        self.roots: list[Root] = []
        self.table = Table()
        #: How many files and the like it may have open that it has opened itself, and how many
        #: bytes it may still write; None: as many as there can be.
        self.most_files: int | None = None
        self.output_left: int | None = None
        for index in range(3):
            self.table.entries[index] = self.stream_descriptor(index)

    def stream_descriptor(self, index: int) -> Descriptor:
        """For stream 0, 1 or 2, as a new program has it."""
        stream = self.streams[index]
        rights = STREAM_RIGHTS | (FD_READ if index == 0 else FD_WRITE)
        return Descriptor(
            STREAM,
            stream.filetype,
            rights,
            rights,
            readable=index == 0,
            writable=index != 0,
            stream=stream,
            index=index,
        )

    def give(
        self, host_path: str | os.PathLike[str] | MemoryFiles, guest_path: str | bytes, ro: bool
    ) -> Root:
        """Another directory below which the guest may open files. Raises BadInput."""
        if isinstance(host_path, MemoryFiles):
            root = Root(len(self.roots), _string(guest_path, "directory"), -1, ro, files=host_path)
            root.handle = host_path.open_root()
            self.roots.append(root)
            self.number_devices()
            return root
        try:
            handle = open_root(host_path)
            place = os.path.abspath(os.fsencode(host_path))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise BadInput(f"cannot open the directory {os.fspath(host_path)}: {reason}") from None
        root = Root(len(self.roots), _string(guest_path, "directory"), handle, ro, place)
        self.roots.append(root)
        return root

    def number_devices(self) -> None:
        """What is in memory has the number of the first root that it is."""
        for root in reversed(self.roots):
            if isinstance(root.files, MemoryFiles):
                root.files.device = _FIRST_DEVICE + root.index

    def preopen(self, root: Root) -> Descriptor:
        """The descriptor that tells the guest of ``root``."""
        return Descriptor(
            OPEN_DIRECTORY,
            DIRECTORY,
            DIRECTORY_RIGHTS,
            INHERITED_RIGHTS,
            root.handle,
            files=root.files,
            root=root,
            preopen=True,
        )

    def inherit(self, handle: int, index: int) -> Descriptor:
        """A descriptor for an inherited socket. The guest's own copy: closing it closes no more.
        Raises BadInput."""
        copy = -1
        try:
            copy = os.dup(handle)
            return describe_socket(copy, index)
        except OSError as error:
            if copy >= 0:
                os.close(copy)
            raise BadInput(f"descriptor {handle} is no socket: {error.strerror}") from None

    def check_files(self) -> None:
        """EMFILE where the guest may open no more."""
        if self.most_files is not None and self.table.opened() >= self.most_files:
            raise WasiError(MFILE)

    def writable(self, content: bytes) -> bytes:
        """As much of it as the guest may write; ENOSPC where that is nothing."""
        if self.output_left is None or not content:
            return content
        if not self.output_left:
            raise WasiError(NOSPC)
        return content[: self.output_left]

    def written(self, n: int) -> None:
        """The guest has written so many bytes."""
        if self.output_left is not None:
            self.output_left -= n

    def guest_path(self, descriptor: Descriptor) -> bytes:
        """The path of what is open, as the guest would say it."""
        assert descriptor.root is not None
        return joined(descriptor.root.guest_path.rstrip(b"/"), descriptor.path) or b"/"

    def inode(self, guest_path: bytes) -> int:
        """A number for a file that depends on its path alone."""
        return int.from_bytes(hashlib.sha256(guest_path).digest()[:8], "little")

    def close(self) -> None:
        """Give every handle back. The guest can do nothing any more."""
        for descriptor in self.table.entries.values():
            descriptor.close()
        self.table.entries.clear()
        for root in self.roots:
            if root.handle >= 0:
                root.files.close(root.handle)
        self.roots.clear()


def _string(value: str | bytes, what: str) -> bytes:
    string = os.fsencode(value)
    if b"\0" in string:
        raise BadInput(f"the {what} {string!r} has a zero byte in it")
    return string
