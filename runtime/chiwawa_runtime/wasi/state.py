"""A guest's WASI state as bytes: the section ``chiwawa.wasi`` of a checkpoint.

Canonical: equal states give equal bytes. Numbers are unsigned LEB128, strings have their length
before them::

    state       = version:u8  deterministic:u8  vec(arg:str)  vec(env:str)
                  seen:u64 {3}  waited:u64  entropy:u64
                  vec(root:str)  vec(descriptor)
    descriptor  = fd  kind:u8  flags  rights  inheriting  body      (ascending fd)
    body        = 0: stream     index  position + 1, or 0
                | 1: file       root  path:str  filetype  access  offset  least
                | 2: directory  root  path:str  preopen  listing
                | 3: socket, 4: listener    index
    listing     = 0, or 1 vec(name:str)

``seen`` are the last values shown of the clocks but the wall clock, ``waited`` is how long an
interrupted sleep has lasted (nanoseconds), ``least`` how long a file must be to be the one that was
open: what has been passed in it. No host path, time, or number of the host is in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from chiwawa_runtime.errors import BadInput, CheckpointError, MalformedError
from chiwawa_runtime.leb import decode_u, encode_u
from chiwawa_runtime.requests import Interrupted
from chiwawa_runtime.wasi.abi import (
    ALL_FDFLAGS,
    ALL_RIGHTS,
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
    OPEN_FILE,
    SOCKET,
    STREAM,
    Descriptor,
    filetype_of,
)
from chiwawa_runtime.wasi.entropy import Entropy
from chiwawa_runtime.wasi.path_calls import describe, host_flags, open_here
from chiwawa_runtime.wasi.paths import Root, resolve

if TYPE_CHECKING:
    from chiwawa_runtime.wasi.context import Wasi

VERSION = 1
_KINDS = (STREAM, OPEN_FILE, OPEN_DIRECTORY, SOCKET, LISTENER)
_NAMES = ("standard input", "standard output", "standard error")
_TYPES = {
    UNKNOWN: "a pipe",
    BLOCK_DEVICE: "a block device",
    CHARACTER_DEVICE: "a character device",
    DIRECTORY: "a directory",
    REGULAR_FILE: "a regular file",
    SYMBOLIC_LINK: "a symbolic link",
}


def _str(content: bytes) -> bytes:
    return encode_u(len(content)) + content


def _vec(items: Sequence[bytes]) -> bytes:
    return encode_u(len(items)) + b"".join(items)


def save(wasi: Wasi) -> bytes:
    """Raises CheckpointError where a descriptor cannot be carried."""
    descriptors = [
        encode_u(fd) + _save_descriptor(wasi, fd, descriptor)
        for fd, descriptor in sorted(wasi.table.entries.items())
    ]
    return b"".join(
        (
            bytes((VERSION, wasi.deterministic)),
            _vec([_str(a) for a in wasi.args]),
            _vec([_str(e) for e in wasi.env]),
            *map(encode_u, wasi.clock.seen()),
            encode_u(wasi.waited),
            encode_u(wasi.entropy.position or 0),
            _vec([_str(root.guest_path) for root in wasi.roots]),
            _vec(descriptors),
        )
    )


def _save_descriptor(wasi: Wasi, fd: int, descriptor: Descriptor) -> bytes:
    head = bytes((_KINDS.index(descriptor.kind),)) + b"".join(
        map(encode_u, (descriptor.flags, descriptor.rights, descriptor.inheriting))
    )
    if descriptor.stream is not None:
        # Where output goes on is the business of whoever restores; input goes on where it was.
        position = descriptor.stream.position() if descriptor.index == 0 else None
        return head + encode_u(descriptor.index) + encode_u(0 if position is None else position + 1)
    if descriptor.kind in (SOCKET, LISTENER):
        if descriptor.index < 0:
            raise CheckpointError(f"descriptor {fd} is an accepted connection, which cannot move")
        return head + encode_u(descriptor.index)
    assert descriptor.root is not None
    if not descriptor.preopen:
        _still_there(wasi, fd, descriptor)
    head += encode_u(descriptor.root.index) + _str(descriptor.path)
    if descriptor.kind == OPEN_DIRECTORY:
        head += bytes((descriptor.preopen, descriptor.names is not None))
        return head if descriptor.names is None else head + _vec(list(map(_str, descriptor.names)))
    offset = least = 0
    if descriptor.filetype == REGULAR_FILE:
        offset = os.lseek(descriptor.handle, 0, os.SEEK_CUR)
        # A reader may stand beyond the end: it never read there.
        least = min(offset, os.fstat(descriptor.handle).st_size)
    access = descriptor.readable | descriptor.writable << 1
    return head + b"".join(map(encode_u, (descriptor.filetype, access, offset, least)))


def _show(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _still_there(wasi: Wasi, fd: int, descriptor: Descriptor) -> None:
    """Raises CheckpointError unless the path still leads to what is open."""
    assert descriptor.root is not None
    here = os.fstat(descriptor.handle)
    try:
        with resolve(descriptor.root.handle, descriptor.path or b".", False) as place:
            there = place.stat()
        same = (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
    except (OSError, WasiError):
        same = False
    if not same:
        path = _show(wasi.guest_path(descriptor))
        raise CheckpointError(
            f"descriptor {fd} is {path}, which has been removed or replaced since it was opened"
        )


class _Reader:
    """Reads the bytes; MalformedError and IndexError where they end or make no sense."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def u(self, most: int = (1 << 64) - 1) -> int:
        value, self.at = decode_u(self.data, self.at, 64)
        if value > most:
            raise MalformedError("number out of range", offset=self.at)
        return value

    def byte(self, most: int) -> int:
        value = self.data[self.at]
        self.at += 1
        if value > most:
            raise MalformedError("number out of range", offset=self.at)
        return value

    def string(self) -> bytes:
        length = self.u()
        content = self.data[self.at : self.at + length]
        if len(content) < length or b"\0" in content:
            raise MalformedError("bad string", offset=self.at)
        self.at += length
        return content

    def strings(self) -> list[bytes]:
        return [self.string() for _ in range(self.u(len(self.data)))]


def load(
    wasi: Wasi, data: bytes, dirs: Sequence[Any], sockets: Sequence[int], lenient: bool
) -> None:
    """Fill ``wasi``, which has only its streams. Raises CheckpointError; what was opened until then
    is in ``wasi``, for the caller to close."""
    wasi.table.entries.clear()
    try:
        reader = _Reader(data)
        if reader.byte(255) != VERSION:
            raise CheckpointError(f"the WASI state has format {data[0]}, not {VERSION}")
        _load(wasi, reader, dirs, sockets, lenient)
        if reader.at != len(data):
            raise MalformedError("bytes left over", offset=reader.at)
    except (MalformedError, IndexError) as error:
        reason = str(error) if isinstance(error, MalformedError) else "unexpected end"
        raise CheckpointError(f"the WASI state of the checkpoint is malformed: {reason}") from None


def _load(
    wasi: Wasi, reader: _Reader, dirs: Sequence[Any], sockets: Sequence[int], lenient: bool
) -> None:
    wasi.deterministic = bool(reader.byte(1))
    wasi.args = reader.strings()
    wasi.env = reader.strings()
    seen = (reader.u(), reader.u(), reader.u())
    wasi.clock = VirtualClock(seen[0]) if wasi.deterministic else HostClock(seen)
    wasi.waited = reader.u()
    position = reader.u()
    wasi.entropy = Entropy(position if wasi.deterministic else None)
    roots = _Roots(wasi, reader.strings(), dirs)
    last = -1
    for _ in range(reader.u(len(reader.data))):
        fd = reader.u(0x7FFFFFFF)
        if fd <= last:
            raise MalformedError("descriptors out of order", offset=reader.at)
        last = fd
        kind = _KINDS[reader.byte(len(_KINDS) - 1)]
        flags = reader.u(ALL_FDFLAGS)
        rights = reader.u(ALL_RIGHTS)
        inheriting = reader.u(ALL_RIGHTS)
        revive: Callable[[], Descriptor]
        if kind == STREAM:
            revive = _revive_stream(wasi, reader, lenient)
        elif kind == OPEN_FILE:
            revive = _revive_file(wasi, reader, roots, flags, lenient)
        elif kind == OPEN_DIRECTORY:
            revive = _revive_directory(wasi, reader, roots)
        else:
            revive = _revive_socket(wasi, reader, sockets, kind)
        try:
            descriptor = revive()
        except CheckpointError:
            if not lenient:
                raise
            continue
        wasi.table.entries[fd] = descriptor
        descriptor.flags, descriptor.rights, descriptor.inheriting = flags, rights, inheriting
    roots.finish()


class _Roots:
    """The directories of the saved program, each opened when something below it is needed."""

    def __init__(self, wasi: Wasi, guest_paths: list[bytes], dirs: Sequence[Any]) -> None:
        self.wasi = wasi
        self.guest_paths = guest_paths
        self.dirs = dirs
        self.open: dict[int, Root] = {}

    def get(self, index: int) -> Root:
        """Raises CheckpointError where it is not given now."""
        if index not in self.open:
            path = self.guest_paths[index]
            # Where the guest knew two directories by one name, their order tells them apart.
            which = self.guest_paths[:index].count(path)
            given = [d for d in self.dirs if os.fsencode(d[1]) == path]
            if which >= len(given):
                raise CheckpointError(
                    f"the program has {_show(path)} open, a directory that is not given now"
                )
            host_path, _, read_only = given[which]
            try:
                self.open[index] = self.wasi.give(host_path, path, read_only)
            except BadInput as error:
                raise CheckpointError(error.message) from None
        return self.open[index]

    def finish(self) -> None:
        """Number the roots as they were, so that the state is the same when it is saved again.
        Those that nothing is open below keep their names, and need no directory."""
        self.wasi.roots = []
        for index, path in enumerate(self.guest_paths):
            root = self.open.get(index) or Root(index, path, -1, True)
            root.index = index
            self.wasi.roots.append(root)


def _revive_stream(wasi: Wasi, reader: _Reader, lenient: bool) -> Callable[[], Descriptor]:
    index, position = reader.u(2), reader.u(1 << 63)

    def revive() -> Descriptor:
        stream = wasi.streams[index]
        if position and stream.regular and stream.handle is not None:
            size = os.fstat(stream.handle).st_size
            if size < position - 1 and not lenient:
                raise CheckpointError(
                    f"{_NAMES[index]} has {size} bytes, but had been read up to {position - 1}"
                )
        if position:
            stream.move(position - 1)
        return wasi.stream_descriptor(index)

    return revive


def _revive_file(
    wasi: Wasi, reader: _Reader, roots: _Roots, flags: int, lenient: bool
) -> Callable[[], Descriptor]:
    index, path = reader.u(len(roots.guest_paths) - 1), reader.string()
    filetype, access = reader.u(SYMBOLIC_LINK), reader.u(3)
    offset, least = reader.u((1 << 63) - 1), reader.u((1 << 63) - 1)
    if filetype == DIRECTORY:
        raise MalformedError("a file that is a directory", offset=reader.at)
    readable, writable = bool(access & 1), bool(access & 2)

    def revive() -> Descriptor:
        root = roots.get(index)
        host = host_flags(readable, writable, bool(flags & APPEND))
        if writable and root.read_only:
            name = _show(root.guest_path.rstrip(b"/") + b"/" + path)
            raise CheckpointError(f"{name} is open for writing, but given read-only now")
        descriptor = _reopen(root, path, filetype, host)
        descriptor.readable, descriptor.writable = readable, writable
        descriptor.flags = flags
        if filetype == REGULAR_FILE:
            size = os.fstat(descriptor.handle).st_size
            if size < least and not lenient:
                descriptor.close()
                raise CheckpointError(
                    f"{_show(_name(root, path))} has {size} bytes, but had been used up to {least}"
                )
            os.lseek(descriptor.handle, offset, os.SEEK_SET)
        return descriptor

    return revive


def _revive_directory(wasi: Wasi, reader: _Reader, roots: _Roots) -> Callable[[], Descriptor]:
    index, path = reader.u(len(roots.guest_paths) - 1), reader.string()
    preopen, listed = reader.byte(1), reader.byte(1)
    names = reader.strings() if listed else None

    def revive() -> Descriptor:
        root = roots.get(index)
        if preopen:
            descriptor = wasi.preopen(root)
        else:
            descriptor = _reopen(root, path, DIRECTORY, os.O_RDONLY | os.O_DIRECTORY)
        descriptor.names = names
        return descriptor

    return revive


def _revive_socket(
    wasi: Wasi, reader: _Reader, sockets: Sequence[int], kind: str
) -> Callable[[], Descriptor]:
    index = reader.u(0x7FFFFFFF)

    def revive() -> Descriptor:
        if index >= len(sockets):
            raise CheckpointError(
                f"the program has inherited socket {index}, which is not given now"
            )
        try:
            descriptor = wasi.inherit(sockets[index], index)
        except BadInput as error:
            raise CheckpointError(error.message) from None
        if descriptor.kind != kind:
            descriptor.close()
            raise CheckpointError(f"inherited socket {index} is no longer a {kind}")
        return descriptor

    return revive


def _name(root: Root, path: bytes) -> bytes:
    return root.guest_path.rstrip(b"/") + b"/" + path


def _reopen(root: Root, path: bytes, filetype: int, flags: int) -> Descriptor:
    """Open what the program has open. Nothing is created or cut short."""
    name = _show(_name(root, path))
    handle = -1
    try:
        with resolve(root.handle, path or b".", False) as place:
            found = filetype_of(place.stat().st_mode)
            if found == filetype:
                # As if a request were pending: nothing is waited for here.
                handle = open_here(place, flags, ["restore"])
                found = filetype_of(os.fstat(handle).st_mode)
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
            os.close(handle)
        now, before = _TYPES.get(found, "something else"), _TYPES.get(filetype, "something else")
        raise CheckpointError(f"{name} is {now} now, but was {before}")
    descriptor = describe(handle, 0, 0, 0, False, False)
    descriptor.root, descriptor.path = root, path
    return descriptor
