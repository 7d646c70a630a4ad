"""A guest's WASI, taken down as data and brought back over what is given elsewhere.

``saved`` has the data and its bytes. Bringing it back opens what was open, without creating or
cutting short anything, and where something is not as it must be, gives everything back.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from chiwawa_runtime.errors import BadInput, CheckpointError, Interrupted
from chiwawa_runtime.wasi.abi import (
    APPEND,
    BLOCK_DEVICE,
    CHARACTER_DEVICE,
    DIRECTORY,
    NOENT,
    REGULAR_FILE,
    SYMBOLIC_LINK,
    UNKNOWN,
    WasiError,
)
from chiwawa_runtime.wasi.clocks import HostClock, VirtualClock
from chiwawa_runtime.wasi.descriptors import (
    LISTENER,
    OPEN_DIRECTORY,
    SOCKET,
    Descriptor,
    filetype_of,
)
from chiwawa_runtime.wasi.entropy import Entropy
from chiwawa_runtime.wasi.file_system import O_DIRECTORY
from chiwawa_runtime.wasi.memory_files import MOST, MemoryFiles
from chiwawa_runtime.wasi.path_calls import describe, host_flags, open_here
from chiwawa_runtime.wasi.paths import Root, resolve
from chiwawa_runtime.wasi.process import Process
from chiwawa_runtime.wasi.saved import (
    Body,
    SavedDescriptor,
    SavedDirectory,
    SavedFile,
    SavedSocket,
    SavedState,
    SavedStream,
    decode,
    encode,
)

_NAMES = ("standard input", "standard output", "standard error")
_TYPES = {
    UNKNOWN: "a pipe",
    BLOCK_DEVICE: "a block device",
    CHARACTER_DEVICE: "a character device",
    DIRECTORY: "a directory",
    REGULAR_FILE: "a regular file",
    SYMBOLIC_LINK: "a symbolic link",
}


def save(process: Process) -> bytes:
    """Raises CheckpointError where a descriptor cannot be carried."""
    trees: dict[int, MemoryFiles] = {}
    memory: dict[int, tuple[int, bool]] = {}
    for root in process.roots:
        if isinstance(root.files, MemoryFiles):
            trees.setdefault(id(root.files), root.files)
            memory[root.index] = list(trees).index(id(root.files)), root.read_only
    return encode(
        SavedState(
            process.deterministic,
            tuple(process.args),
            tuple(process.env),
            process.clock.seen(),
            process.waited,
            process.entropy.position or 0,
            tuple(root.guest_path for root in process.roots),
            tuple(
                SavedDescriptor(
                    fd,
                    descriptor.flags,
                    descriptor.rights,
                    descriptor.inheriting,
                    _save_body(process, fd, descriptor),
                )
                for fd, descriptor in sorted(process.table.entries.items())
            ),
            memory,
            tuple(tree.saved() for tree in trees.values()),
        )
    )


def _save_body(process: Process, fd: int, descriptor: Descriptor) -> Body:
    if descriptor.stream is not None:
        # Where output goes on is the business of whoever restores; input goes on where it was.
        position = descriptor.stream.position() if descriptor.index == 0 else None
        return SavedStream(descriptor.index, position)
    if descriptor.kind in (SOCKET, LISTENER):
        if descriptor.index < 0:
            raise CheckpointError(f"descriptor {fd} is an accepted connection, which cannot move")
        return SavedSocket(descriptor.kind, descriptor.index)
    root, path = descriptor.root, descriptor.path
    assert root is not None
    if not descriptor.preopen:
        _still_there(process, fd, descriptor)
    if descriptor.kind == OPEN_DIRECTORY:
        names = None if descriptor.names is None else tuple(descriptor.names)
        return SavedDirectory(root.index, path, descriptor.preopen, names)
    offset = least = 0
    if descriptor.filetype == REGULAR_FILE:
        offset = descriptor.files.seek(descriptor.handle, 0, os.SEEK_CUR)
        # A reader may stand beyond the end: it never read there.
        least = min(offset, descriptor.files.fstat(descriptor.handle).st_size)
    return SavedFile(
        root.index,
        path,
        descriptor.filetype,
        descriptor.readable,
        descriptor.writable,
        offset,
        least,
    )


def _show(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _still_there(process: Process, fd: int, descriptor: Descriptor) -> None:
    """Raises CheckpointError unless the path still leads to what is open."""
    assert descriptor.root is not None
    files, root = descriptor.files, descriptor.root
    here = files.fstat(descriptor.handle)
    try:
        with resolve(files, root.handle, descriptor.path or b".", False) as place:
            there = place.stat()
        same = (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
    except (OSError, WasiError):
        same = False
    if not same:
        path = _show(process.guest_path(descriptor))
        raise CheckpointError(
            f"descriptor {fd} is {path}, which has been removed or replaced since it was opened"
        )


def load(
    process: Process,
    data: bytes,
    dirs: Sequence[Any],
    sockets: Sequence[int],
    lenient: bool,
    most: int = MOST,
) -> None:
    """Fill ``process``, which has only its streams. Raises CheckpointError; what was opened until
    then is in ``process``, for the caller to close. All of ``data`` is judged before anything is
    opened. Each tree of files in memory may take ``most`` bytes."""
    saved = decode(data)
    process.table.entries.clear()
    process.deterministic = saved.deterministic
    process.args, process.env = list(saved.args), list(saved.env)
    process.clock = VirtualClock(saved.seen[0]) if saved.deterministic else HostClock(saved.seen)
    process.waited = saved.waited
    process.entropy = Entropy(saved.entropy if saved.deterministic else None)
    try:
        trees = [MemoryFiles.of(tree, most) for tree in saved.trees]
    except BadInput as error:
        raise CheckpointError(error.message) from None
    memory = {index: (trees[tree], ro) for index, (tree, ro) in saved.memory.items()}
    roots = _Roots(process, saved.roots, dirs, memory)
    for entry in saved.descriptors:
        try:
            descriptor = _revive(process, entry, roots, sockets, lenient)
        except CheckpointError:
            if not lenient:
                raise
            continue
        process.table.entries[entry.fd] = descriptor
        descriptor.flags = entry.flags
        descriptor.rights, descriptor.inheriting = entry.rights, entry.inheriting
    roots.finish()


class _Roots:
    """The directories of the saved program, each opened when something below it is needed."""

    def __init__(
        self,
        process: Process,
        guest_paths: Sequence[bytes],
        dirs: Sequence[Any],
        memory: Mapping[int, tuple[MemoryFiles, bool]],
    ) -> None:
        self.process = process
        self.guest_paths = guest_paths
        self.open: dict[int, Root] = {}
        #: What is given for each, if it is. Where the guest knew two directories by one name, their
        #: order tells them apart.
        self.given: list[Any] = []
        left: dict[bytes, list[Any]] = {}
        for directory in reversed(dirs):
            left.setdefault(os.fsencode(directory[1]), []).append(directory)
        for index, path in enumerate(guest_paths):
            if index in memory:
                # It has come along, whatever is given.
                files, read_only = memory[index]
                self.given.append((files, path, read_only))
            else:
                self.given.append(left[path].pop() if left.get(path) else None)
        for index in memory:
            self.get(index)

    def get(self, index: int) -> Root:
        """Raises CheckpointError where it is not given now."""
        if index not in self.open:
            path, given = self.guest_paths[index], self.given[index]
            if given is None:
                raise CheckpointError(
                    f"the program has {_show(path)} open, a directory that is not given now"
                )
            host_path, _, read_only = given
            try:
                self.open[index] = self.process.give(host_path, path, read_only)
            except BadInput as error:
                raise CheckpointError(error.message) from None
        return self.open[index]

    def finish(self) -> None:
        """Number the roots as they were, so that the state is the same when it is saved again.
        Those that nothing is open below keep their names, and need no directory."""
        self.process.roots = []
        for index, path in enumerate(self.guest_paths):
            root = self.open.get(index) or Root(index, path, -1, True)
            root.index = index
            self.process.roots.append(root)
        self.process.number_devices()


def _revive(
    process: Process, entry: SavedDescriptor, roots: _Roots, sockets: Sequence[int], lenient: bool
) -> Descriptor:
    """Raises CheckpointError, and nothing of it is open then."""
    match entry.body:
        case SavedStream():
            return _revive_stream(process, entry.body, lenient)
        case SavedFile():
            return _revive_file(roots, entry.body, entry.flags, lenient)
        case SavedDirectory():
            return _revive_directory(process, roots, entry.body)
        case SavedSocket():
            return _revive_socket(process, entry.body, sockets)


def _revive_stream(process: Process, saved: SavedStream, lenient: bool) -> Descriptor:
    stream = process.streams[saved.index]
    if saved.position is not None:
        if stream.regular and stream.handle is not None and not lenient:
            try:
                size = os.fstat(stream.handle).st_size
            except OSError as error:
                raise CheckpointError(f"{_NAMES[saved.index]}: {error.strerror}") from None
            if size < saved.position:
                raise CheckpointError(
                    f"{_NAMES[saved.index]} has {size} bytes, "
                    f"but had been read up to {saved.position}"
                )
        stream.move(saved.position)
    return process.stream_descriptor(saved.index)


def _revive_file(roots: _Roots, saved: SavedFile, flags: int, lenient: bool) -> Descriptor:
    root = roots.get(saved.root)
    name = _show(_name(root, saved.path))
    if saved.writable and root.read_only:
        raise CheckpointError(f"{name} is open for writing, but given read-only now")
    host = host_flags(saved.readable, saved.writable, bool(flags & APPEND))
    descriptor = _reopen(root, saved.path, saved.filetype, host)
    descriptor.readable, descriptor.writable = saved.readable, saved.writable
    try:
        if saved.filetype == REGULAR_FILE:
            size = root.files.fstat(descriptor.handle).st_size
            if size < saved.least and not lenient:
                raise CheckpointError(
                    f"{name} has {size} bytes, but had been used up to {saved.least}"
                )
            root.files.seek(descriptor.handle, saved.offset, os.SEEK_SET)
    except OSError as error:
        descriptor.close()
        raise CheckpointError(f"{name} has no offset {saved.offset}: {error.strerror}") from None
    except BaseException:
        descriptor.close()
        raise
    return descriptor


def _revive_directory(process: Process, roots: _Roots, saved: SavedDirectory) -> Descriptor:
    root = roots.get(saved.root)
    if saved.preopen:
        descriptor = process.preopen(root)
    else:
        descriptor = _reopen(root, saved.path, DIRECTORY, os.O_RDONLY | O_DIRECTORY)
    descriptor.names = None if saved.names is None else list(saved.names)
    return descriptor


def _revive_socket(process: Process, saved: SavedSocket, sockets: Sequence[int]) -> Descriptor:
    if saved.index >= len(sockets):
        raise CheckpointError(
            f"the program has inherited socket {saved.index}, which is not given now"
        )
    try:
        descriptor = process.inherit(sockets[saved.index], saved.index)
    except BadInput as error:
        raise CheckpointError(error.message) from None
    if descriptor.kind != saved.kind:
        descriptor.close()
        raise CheckpointError(f"inherited socket {saved.index} is no longer a {saved.kind}")
    return descriptor


def _name(root: Root, path: bytes) -> bytes:
    return root.guest_path.rstrip(b"/") + b"/" + path


def _reopen(root: Root, path: bytes, filetype: int, flags: int) -> Descriptor:
    """Open what the program has open. Nothing is created or cut short."""
    name = _show(_name(root, path))
    handle = -1
    try:
        with resolve(root.files, root.handle, path or b".", False) as place:
            found = filetype_of(place.stat().st_mode)
            if found == filetype:
                # As if a request were pending: nothing is waited for here.
                handle = open_here(place, flags, ["restore"])
                found = filetype_of(root.files.fstat(handle).st_mode)
    except Interrupted:
        raise CheckpointError(f"{name} is open for writing, but nobody reads it now") from None
    except FileNotFoundError:
        raise CheckpointError(f"{name} is open, but is missing now") from None
    except OSError as error:
        raise CheckpointError(f"{name} is open, but cannot be opened: {error.strerror}") from None
    except WasiError as error:
        why = "is missing now" if error.errno == NOENT else "cannot be reached now"
        raise CheckpointError(f"{name} is open, but {why}") from None
    if found != filetype:
        if handle >= 0:
            root.files.close(handle)
        now, before = _TYPES.get(found, "something else"), _TYPES.get(filetype, "something else")
        raise CheckpointError(f"{name} is {now} now, but was {before}")
    try:
        descriptor = describe(root.files, handle, 0, 0, 0, False, False)
    except OSError as error:
        root.files.close(handle)
        raise CheckpointError(f"{name} is open, but cannot be opened: {error.strerror}") from None
    descriptor.root, descriptor.path = root, path
    return descriptor
