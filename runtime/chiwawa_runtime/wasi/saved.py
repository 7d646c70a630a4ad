"""A guest's WASI state as plain data, and as the bytes of a checkpoint's section ``chiwawa.wasi``.

The grammar is in docs/checkpoint-format.md. ``decode`` trusts nothing: whoever can change a file
could have written any guest's state, so each number and string is held to what a guest can have
brought about, in its only form: ``encode(decode(data)) == data``. Nothing is opened here.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
from chiwawa_runtime.wasi.memory_files import (
    LONGEST_NAME,
    LONGEST_TARGET,
    ROOT,
    SavedNode,
    SavedTree,
)
from chiwawa_runtime.wasi.paths import is_component

#: Of a state without files in memory, and of one with some.
VERSION, VERSION_WITH_MEMORY = 1, 2
#: The kinds of descriptor, by their numbers.
KINDS = (STREAM, OPEN_FILE, OPEN_DIRECTORY, SOCKET, LISTENER)
#: What there is in memory, by its numbers.
NODE_KINDS = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
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
    random stream, 0 where there is none; ``roots`` are guest paths. ``memory`` says of each root
    in memory by its index which of ``trees`` it is, and whether it is only to be read."""

    deterministic: bool
    args: tuple[bytes, ...]
    env: tuple[bytes, ...]
    seen: tuple[int, int, int]
    waited: int
    entropy: int
    roots: tuple[bytes, ...]
    descriptors: tuple[SavedDescriptor, ...]
    memory: Mapping[int, tuple[int, bool]] = field(default_factory=dict)
    trees: tuple[SavedTree, ...] = ()


def _str(content: bytes) -> bytes:
    return encode_u(len(content)) + content


def _vec(items: Sequence[bytes]) -> bytes:
    return encode_u(len(items)) + b"".join(items)


def encode(state: SavedState) -> bytes:
    """The canonical bytes."""
    return b"".join(
        (
            bytes((VERSION_WITH_MEMORY if state.trees else VERSION, state.deterministic)),
            _vec([_str(a) for a in state.args]),
            _vec([_str(e) for e in state.env]),
            *map(encode_u, state.seen),
            encode_u(state.waited),
            encode_u(state.entropy),
            _vec([_str(r) for r in state.roots]),
            _encode_memory(state),
            _vec([_encode_descriptor(d) for d in state.descriptors]),
        )
    )


def _encode_memory(state: SavedState) -> bytes:
    """Which roots are in memory, and what is in them; nothing where none is."""
    if not state.trees:
        return b""
    return b"".join(
        (
            encode_u(len(state.memory)),
            *(
                encode_u(root) + encode_u(tree) + bytes((read_only,))
                for root, (tree, read_only) in sorted(state.memory.items())
            ),
            *map(_encode_tree, state.trees),
        )
    )


def _encode_tree(tree: SavedTree) -> bytes:
    return encode_u(tree.next) + _vec([_encode_node(node) for node in tree.nodes])


def _encode_node(node: SavedNode) -> bytes:
    head = b"".join(map(encode_u, (node.number, node.atime, node.mtime)))
    kind = bytes((NODE_KINDS.index(node.kind),))
    if node.kind != stat.S_IFDIR:
        return head + kind + _str(node.content)
    return head + kind + _vec([_str(name) + encode_u(number) for name, number in node.entries])


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
    known = version in (VERSION, VERSION_WITH_MEMORY)
    reader.must(known, f"version {version}, not {VERSION} or {VERSION_WITH_MEMORY}")
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
    memory: dict[int, tuple[int, bool]] = {}
    trees: tuple[SavedTree, ...] = ()
    if version == VERSION_WITH_MEMORY:
        reader.what = "files in memory"
        memory, trees = _memory(reader, len(roots))
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
        memory,
        trees,
    )


def _memory(
    reader: _Reader, roots: int
) -> tuple[dict[int, tuple[int, bool]], tuple[SavedTree, ...]]:
    memory: dict[int, tuple[int, bool]] = {}
    trees = last = 0
    count = reader.cursor.count()
    reader.must(count > 0, "there are none")
    for place in range(count):
        root = _root(reader, roots)
        reader.must(not place or root > last, "directories are not in order")
        tree = reader.number("a tree", trees)
        memory[root] = tree, reader.cursor.flag()
        trees, last = max(trees, tree + 1), root
    return memory, tuple([_tree(reader) for _ in range(trees)])


def _tree(reader: _Reader) -> SavedTree:
    """A tree: each node but its own directory has a name, directories one alone, and all names lead
    there from that."""
    following = reader.number("a number")
    nodes: dict[int, SavedNode] = {}
    last = 0
    for _ in range(reader.cursor.count()):
        node = _node(reader)
        reader.must(last < node.number < following, "numbers of files are not in order")
        nodes[node.number] = node
        last = node.number
    reader.must(ROOT in nodes and nodes[ROOT].kind == stat.S_IFDIR, "there is no directory")
    names = dict.fromkeys(nodes, 0)
    names[ROOT] = 1
    reached = [nodes[ROOT]]
    for node in reached:
        for _, number in node.entries:
            reader.must(number in nodes, f"there is no file {number}")
            names[number] += 1
            directory = nodes[number].kind == stat.S_IFDIR
            reader.must(names[number] == 1 or not directory, f"directory {number} has two names")
            if directory:
                reached.append(nodes[number])
    reader.must(all(names.values()), "a file has no name")
    return SavedTree(following, tuple(nodes.values()))


def _node(reader: _Reader) -> SavedNode:
    number, atime, mtime = (reader.number("a number") for _ in range(3))
    kind = reader.cursor.byte()
    reader.must(kind < len(NODE_KINDS), f"no kind of file has number {kind}")
    if NODE_KINDS[kind] == stat.S_IFDIR:
        entries = reader.items(lambda: (reader.string(), reader.number("a number")))
        for name, _ in entries:
            proper = is_component(name) and len(name) <= LONGEST_NAME
            reader.must(proper, "a directory has a name that is none")
        in_order = all(a < b for (a, _), (b, _) in pairwise(entries))
        reader.must(in_order, "names in a directory are not in order")
        return SavedNode(number, atime, mtime, NODE_KINDS[kind], entries=entries)
    if NODE_KINDS[kind] == stat.S_IFLNK:
        target = reader.string()
        reader.must(
            0 < len(target) <= LONGEST_TARGET, f"a link has a target of {len(target)} bytes"
        )
        reader.must(not target.startswith(b"/"), "a link has an absolute target")
        return SavedNode(number, atime, mtime, NODE_KINDS[kind], target)
    content = reader.cursor.take(reader.number("a length"))
    return SavedNode(number, atime, mtime, NODE_KINDS[kind], content)


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
