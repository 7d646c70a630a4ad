"""A guest's WASI state as plain data, and as the bytes of a checkpoint's section ``chiwawa.wasi``.

The grammar is in docs/checkpoint-format.md. ``decode`` trusts nothing: whoever can change a file
could have written any guest's state, so each number and string is held to what a guest can have
brought about, in its only form: ``encode(decode(data)) == data``. Nothing is opened here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from chiwawa_runtime.checkpoint.cursor import Cursor
from chiwawa_runtime.checkpoint.leb import encode_u
from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.wasi.abi import (
    ALL_FDFLAGS,
    BLOCK_DEVICE,
    CHARACTER_DEVICE,
    DIRECTORY_RIGHTS,
    FD_READ,
    FD_WRITE,
    FILE_RIGHTS,
    INHERITED_RIGHTS,
    LISTENER_RIGHTS,
    REGULAR_FILE,
    SOCKET_RIGHTS,
    STREAM_RIGHTS,
    UNKNOWN,
)
from chiwawa_runtime.wasi.clocks import LAST
from chiwawa_runtime.wasi.descriptors import LISTENER, OPEN_DIRECTORY, OPEN_FILE, SOCKET, STREAM
from chiwawa_runtime.wasi.paths import is_component

VERSION = 1
#: The kinds of descriptor, by their numbers.
KINDS = (STREAM, OPEN_FILE, OPEN_DIRECTORY, SOCKET, LISTENER)
#: What is opened as a file. A directory is not, and links and sockets cannot be opened.
FILE_TYPES = (UNKNOWN, BLOCK_DEVICE, CHARACTER_DEVICE, REGULAR_FILE)
LAST_OFFSET = (1 << 63) - 1
_MAX_FD = (1 << 31) - 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SavedStream:
    """``position`` is where standard input stood, where that is known."""

    index: int
    position: int | None = None


@dataclass(frozen=True, slots=True)
class SavedFile:
    """``root`` is an index. ``least`` is how long a regular file must be to be the one that was
    open: what had been passed in it."""

    root: int
    path: bytes
    filetype: int
    readable: bool
    writable: bool
    offset: int
    least: int


@dataclass(frozen=True, slots=True)
class SavedDirectory:
    """``names`` is the listing that has been begun, if one has."""

    root: int
    path: bytes
    preopen: bool
    names: tuple[bytes, ...] | None


@dataclass(frozen=True, slots=True)
class SavedSocket:
    """``kind`` is SOCKET or LISTENER, ``index`` its place among those that were inherited."""

    kind: str
    index: int


Body = SavedStream | SavedFile | SavedDirectory | SavedSocket


@dataclass(frozen=True, slots=True)
class SavedDescriptor:
    fd: int
    flags: int
    rights: int
    inheriting: int
    body: Body

    @property
    def kind(self) -> str:
        body = self.body
        if isinstance(body, SavedSocket):
            return body.kind
        if isinstance(body, SavedStream):
            return STREAM
        return OPEN_FILE if isinstance(body, SavedFile) else OPEN_DIRECTORY


@dataclass(frozen=True, slots=True)
class SavedState:
    """``seen`` are the last values shown of the clocks but the wall clock, ``waited`` is how long
    an interrupted sleep has lasted, in nanoseconds; ``entropy`` is the position in the repeatable
    random stream, 0 where there is none; ``roots`` are guest paths."""

    deterministic: bool
    args: tuple[bytes, ...]
    env: tuple[bytes, ...]
    seen: tuple[int, int, int]
    waited: int
    entropy: int
    roots: tuple[bytes, ...]
    descriptors: tuple[SavedDescriptor, ...]


def _str(content: bytes) -> bytes:
    return encode_u(len(content)) + content


def _vec(items: Sequence[bytes]) -> bytes:
    return encode_u(len(items)) + b"".join(items)


def encode(state: SavedState) -> bytes:
    """The canonical bytes."""
    return b"".join(
        (
            bytes((VERSION, state.deterministic)),
            _vec([_str(a) for a in state.args]),
            _vec([_str(e) for e in state.env]),
            *map(encode_u, state.seen),
            encode_u(state.waited),
            encode_u(state.entropy),
            _vec([_str(r) for r in state.roots]),
            _vec([_encode_descriptor(d) for d in state.descriptors]),
        )
    )


def _encode_descriptor(descriptor: SavedDescriptor) -> bytes:
    head = (encode_u(descriptor.fd), bytes((KINDS.index(descriptor.kind),)))
    numbers = (descriptor.flags, descriptor.rights, descriptor.inheriting)
    return b"".join((*head, *map(encode_u, numbers), _encode_body(descriptor.body)))


def _encode_body(body: Body) -> bytes:
    match body:
        case SavedStream(index, position):
            return encode_u(index) + encode_u(0 if position is None else position + 1)
        case SavedFile():
            access = body.readable | body.writable << 1
            numbers = (body.filetype, access, body.offset, body.least)
            return encode_u(body.root) + _str(body.path) + b"".join(map(encode_u, numbers))
        case SavedDirectory(root, path, preopen, names):
            head = encode_u(root) + _str(path) + bytes((preopen, names is not None))
            return head if names is None else head + _vec([_str(name) for name in names])
        case SavedSocket():
            return encode_u(body.index)


def decode(data: bytes) -> SavedState:
    """The state that ``data`` is of. Raises CheckpointError, in one line, for whatever no guest can
    have brought about."""
    reader = _Reader(data)
    try:
        return _state(reader)
    except CheckpointError as error:
        reason = error.message.removeprefix("malformed checkpoint: ")
        raise CheckpointError(
            f"the WASI state of the checkpoint is malformed: {reader.what}: {reason}"
        ) from None


class _Reader:
    """Reads the bytes. ``what`` says what is being read, for messages."""

    def __init__(self, data: bytes) -> None:
        self.cursor = Cursor(data, 0, len(data))
        self.what = "its format"

    def number(self, name: str, most: int = (1 << 64) - 1) -> int:
        start = self.cursor.pos
        value = self.cursor.u(64)
        if value > most:
            self.cursor.pos = start
            raise self.cursor.error(f"{name} is {value}, which is more than {most}")
        return value

    def must(self, holds: bool, message: str) -> None:
        if not holds:
            raise self.cursor.error(message)

    def string(self) -> bytes:
        content = self.cursor.take(self.number("a length"))
        self.must(b"\0" not in content, "a string has a zero byte in it")
        return content

    def items(self, read: Callable[[], T]) -> tuple[T, ...]:
        return tuple([read() for _ in range(self.cursor.count())])


def _state(reader: _Reader) -> SavedState:
    cursor = reader.cursor
    version = cursor.byte()
    reader.must(version == VERSION, f"version {version}, not {VERSION}")
    deterministic = cursor.flag()
    reader.what = "arguments"
    args = reader.items(reader.string)
    reader.what = "environment"
    env = reader.items(reader.string)
    reader.what = "clocks"
    seen = tuple(reader.number("a time", LAST) for _ in range(3))
    # All virtual clocks are one.
    reader.must(not deterministic or seen[1:] == (0, 0), "a virtual clock has two times")
    waited = reader.number("a sleep", LAST)
    reader.what = "randomness"
    entropy = reader.number("a position", (1 << 64) - 1 if deterministic else 0)
    reader.what = "directories"
    roots = reader.items(reader.string)
    reader.what = "descriptors"
    descriptors: list[SavedDescriptor] = []
    once: set[tuple[str, int]] = set()
    for _ in range(cursor.count()):
        reader.what = "descriptors"
        fd = reader.number("a number", _MAX_FD)
        reader.must(not descriptors or fd > descriptors[-1].fd, "numbers are not in order")
        reader.what = f"descriptor {fd}"
        descriptors.append(_descriptor(reader, fd, len(roots)))
        _only_once(reader, descriptors[-1].body, once)
    reader.what = "its end"
    reader.must(cursor.pos == cursor.end, "bytes are left over")
    return SavedState(
        deterministic,
        args,
        env,
        (seen[0], seen[1], seen[2]),
        waited,
        entropy,
        roots,
        tuple(descriptors),
    )


def _only_once(reader: _Reader, body: Body, once: set[tuple[str, int]]) -> None:
    """What a guest is given has one descriptor, whatever number it moves it to."""
    match body:
        case SavedStream(index):
            key = (STREAM, index)
        case SavedDirectory(root, preopen=True):
            key = (OPEN_DIRECTORY, root)
        case SavedSocket(_, index):
            key = (SOCKET, index)
        case _:
            return
    reader.must(key not in once, f"there is another descriptor of {key[0]} {key[1]}")
    once.add(key)


def _descriptor(reader: _Reader, fd: int, roots: int) -> SavedDescriptor:
    kind = reader.cursor.byte()
    reader.must(kind < len(KINDS), f"no kind has number {kind}")
    flags = reader.number("flags", ALL_FDFLAGS)
    rights, inheriting = reader.number("rights"), reader.number("rights")
    body = _BODIES[KINDS[kind]](reader, roots)
    if isinstance(body, SavedSocket):
        body = SavedSocket(KINDS[kind], body.index)
    most, most_inheriting = _rights(KINDS[kind], body)
    reader.must(
        not rights & ~most and not inheriting & ~most_inheriting,
        f"a {KINDS[kind]} cannot have these rights",
    )
    if isinstance(body, SavedDirectory) and body.preopen:
        reader.must(not flags, "a directory that was given has no flags")
    return SavedDescriptor(fd, flags, rights, inheriting, body)


def _rights(kind: str, body: Body) -> tuple[int, int]:
    """The most that it, and what is opened by it, can have."""
    if isinstance(body, SavedStream):
        rights = STREAM_RIGHTS | (FD_READ if body.index == 0 else FD_WRITE)
        return rights, rights
    if isinstance(body, SavedFile):
        closed = (0 if body.readable else FD_READ) | (0 if body.writable else FD_WRITE)
        return FILE_RIGHTS & ~closed, INHERITED_RIGHTS
    if isinstance(body, SavedDirectory):
        return DIRECTORY_RIGHTS, INHERITED_RIGHTS
    return (SOCKET_RIGHTS, 0) if kind == SOCKET else (LISTENER_RIGHTS, SOCKET_RIGHTS)


def _stream(reader: _Reader, roots: int) -> Body:
    index = reader.number("a stream", 2)
    position = reader.number("a position", LAST_OFFSET + 1)
    reader.must(index == 0 or not position, "only standard input has a position")
    return SavedStream(index, position - 1 if position else None)


def _root(reader: _Reader, roots: int) -> int:
    index = reader.number("a directory")
    reader.must(index < roots, f"there is no directory {index}")
    return index


def _path(reader: _Reader) -> bytes:
    """A path without links and dots, which can only lead down; it may be empty."""
    path = reader.string()
    reader.must(
        not path or all(map(is_component, path.split(b"/"))), "a path that does not only lead down"
    )
    return path


def _file(reader: _Reader, roots: int) -> Body:
    root, path = _root(reader, roots), _path(reader)
    reader.must(path != b"", "a file without a path")
    filetype = reader.number("a file type")
    reader.must(filetype in FILE_TYPES, f"no file has type {filetype}")
    access = reader.number("access", 3)
    reader.must(access != 0, "a file opened neither to read nor to write")
    regular = filetype == REGULAR_FILE
    offset = reader.number("an offset", LAST_OFFSET if regular else 0)
    least = reader.number("a length", offset)
    return SavedFile(root, path, filetype, bool(access & 1), bool(access & 2), offset, least)


def _directory(reader: _Reader, roots: int) -> Body:
    root, path = _root(reader, roots), _path(reader)
    preopen = reader.cursor.flag()
    reader.must(not (preopen and path), "a directory that was given has a path below itself")
    names = _listing(reader) if reader.cursor.flag() else None
    return SavedDirectory(root, path, preopen, names)


def _listing(reader: _Reader) -> tuple[bytes, ...]:
    names = reader.items(reader.string)
    reader.must(names[:2] == (b".", b".."), "a listing does not begin with . and ..")
    for name in names[2:]:
        reader.must(is_component(name), "a listing has a name that is none")
    in_order = all(a < b for a, b in pairwise(names[2:]))
    reader.must(in_order, "a listing is not in order")
    return names


def _socket(reader: _Reader, roots: int) -> Body:
    return SavedSocket(SOCKET, reader.number("a socket", _MAX_FD))


_BODIES: dict[str, Callable[[_Reader, int], Body]] = {
    STREAM: _stream,
    OPEN_FILE: _file,
    OPEN_DIRECTORY: _directory,
    SOCKET: _socket,
    LISTENER: _socket,
}
