"""Files and directories in memory, which a guest uses as it does the host's.

A tree's contents are the guest's state: they travel in its checkpoints. So nothing of it comes from
the host: numbers of files count up, and times are zero until the guest sets them. How much there
can be is bounded; what is beyond is ENOSPC.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass

from chiwawa_runtime.errors import BadInput
from chiwawa_runtime.wasi.file_system import O_DIRECTORY

#: Bytes that a tree may take, unless somebody says otherwise.
MOST = 1 << 28
#: Bytes that a file, directory or link counts for beside its contents, and a name beside its own.
NODE, NAME = 256, 64
LONGEST_NAME = 255
#: As WASI's functions take of paths.
LONGEST_TARGET = 4095
LAST_OFFSET = (1 << 63) - 1
#: The number of a tree's own directory.
ROOT = 1
_PERMISSIONS = {stat.S_IFREG: 0o666, stat.S_IFDIR: 0o777, stat.S_IFLNK: 0o777}


@dataclass(frozen=True, slots=True)
class SavedNode:
    """A file (bytes), a directory (names and numbers, by name) or a link (its target). Times are
    nanoseconds."""

    number: int
    atime: int
    mtime: int
    kind: int
    content: bytes = b""
    entries: tuple[tuple[bytes, int], ...] = ()


@dataclass(frozen=True, slots=True)
class SavedTree:
    """``next`` is the number that what is made next gets; ``nodes`` ascend by theirs."""

    next: int
    nodes: tuple[SavedNode, ...]

    def size(self) -> int:
        """What it counts for."""
        return sum(
            NODE + len(node.content) + sum(NAME + len(name) for name, _ in node.entries)
            for node in self.nodes
        )


class Node:
    """What a name stands for. ``kind`` is that of a mode. A directory has ``entries`` and knows the
    one that it is in, ``parent``; ``links`` are how many names it has, ``opened`` how many handles.
    """

    __slots__ = (
        "atime",
        "content",
        "entries",
        "kind",
        "links",
        "mtime",
        "number",
        "opened",
        "parent",
    )

    def __init__(self, number: int, kind: int) -> None:
        self.number = number
        self.kind = kind
        self.content = bytearray()
        self.entries: dict[bytes, Node] = {}
        self.parent: Node | None = None
        self.links = self.opened = 0
        self.atime = self.mtime = 0

    @property
    def is_directory(self) -> bool:
        return self.kind == stat.S_IFDIR


@dataclass(slots=True)
class Handle:
    node: Node
    position: int = 0
    append: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """See ``FileStatus``."""

    st_mode: int
    st_dev: int
    st_ino: int
    st_nlink: int
    st_size: int
    st_atime_ns: int
    st_mtime_ns: int
    st_ctime_ns: int = 0


def _fails(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _is_above(node: Node, directory: Node) -> bool:
    """Whether ``directory`` is ``node``, or in it."""
    here: Node | None = directory
    while here is not None:
        if here is node:
            return True
        here = here.parent
    return False


class MemoryFiles:
    """A directory in memory, to be given to a guest in a host directory's place (``Wasi(dirs=)``).

    ``files`` maps paths to contents; directories on the way are made, and a path that ends with a
    slash is an empty one. ``most`` bounds the bytes of it all: contents, names, and 256 for each
    file. It is for one thread at a time. Raises BadInput for paths that lead nowhere.

    >>> files = chiwawa.MemoryFiles({"/in.txt": b"text", "/empty/": b""})
    >>> wasi = chiwawa.Wasi(["program"], dirs=[(files, "/", False)])
    >>> files.contents()
    {'/in.txt': b'text'}
    """

    def __init__(self, files: Mapping[str, bytes] | None = None, *, most: int = MOST) -> None:
        self.most = most
        #: What it counts for now.
        self.size = 0
        #: A number that the guest sees, by which its files are not another's.
        self.device = 0
        self._next = ROOT
        self._handles: dict[int, Handle] = {}
        self._last = 0
        self.root = self._node(stat.S_IFDIR)
        self.root.links = 1
        for path, content in (files or {}).items():
            self.write_file(path, content)

    # For the embedder.

    def contents(self) -> dict[str, bytes]:
        """All regular files by their paths, in order.

        >>> chiwawa.MemoryFiles({"/b/c": b"deep", "/a": b""}).contents()
        {'/a': b'', '/b/c': b'deep'}
        """
        found: dict[bytes, bytes] = {}
        waiting = [(b"", self.root)]
        while waiting:
            path, node = waiting.pop()
            if node.is_directory:
                waiting += [(path + b"/" + name, each) for name, each in node.entries.items()]
            elif node.kind == stat.S_IFREG:
                found[path] = bytes(node.content)
        return {os.fsdecode(path): found[path] for path in sorted(found)}

    def write_file(self, path: str, content: bytes) -> None:
        """Have ``content`` at ``path``, whatever was in that file. Raises BadInput where that is no
        file's, and where there is no room.

        >>> files = chiwawa.MemoryFiles()
        >>> files.write_file("/config/a", b"new")
        >>> files.contents()
        {'/config/a': b'new'}
        >>> files.write_file("/config", b"new")
        Traceback (most recent call last):
        chiwawa_runtime.errors.BadInput: /config: Is a directory
        """
        names = os.fsencode(path).strip(b"/").split(b"/")
        if any(name in (b"", b".", b"..") or b"\0" in name for name in names):
            raise BadInput(f"{path!r} is no path of a file in memory")
        if path.endswith("/") and content:
            raise BadInput(f"{path!r} is a directory, which has no contents")
        here = self.root
        try:
            for name in names if path.endswith("/") else names[:-1]:
                here = here.entries.get(name) or self._make(here, name, stat.S_IFDIR)
                if not here.is_directory:
                    raise _fails(errno.ENOTDIR)
            if not path.endswith("/"):
                node = here.entries.get(names[-1]) or self._make(here, names[-1], stat.S_IFREG)
                if node.kind != stat.S_IFREG:
                    raise _fails(errno.EISDIR)
                self._resize(node, len(content))
                node.content[:] = content
        except OSError as error:
            raise BadInput(f"{path}: {error.strerror}") from None

    # What a checkpoint has of it.

    def saved(self) -> SavedTree:
        nodes: dict[int, SavedNode] = {}
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            if node.number in nodes:
                continue
            entries = tuple((name, node.entries[name].number) for name in sorted(node.entries))
            nodes[node.number] = SavedNode(
                node.number, node.atime, node.mtime, node.kind, bytes(node.content), entries
            )
            waiting += node.entries.values()
        return SavedTree(self._next, tuple(nodes[number] for number in sorted(nodes)))

    @classmethod
    def of(cls, tree: SavedTree, most: int = MOST) -> MemoryFiles:
        """As it was saved. Raises BadInput where it is larger than ``most``."""
        if tree.size() > most:
            raise BadInput(f"the files in memory take {tree.size()} bytes, more than {most}")
        files = cls(most=most)
        files.size = tree.size()
        nodes = {saved.number: Node(saved.number, saved.kind) for saved in tree.nodes}
        for saved in tree.nodes:
            node = nodes[saved.number]
            node.atime, node.mtime = saved.atime, saved.mtime
            node.content[:] = saved.content
            for name, number in saved.entries:
                node.entries[name] = nodes[number]
                nodes[number].links += 1
                if nodes[number].is_directory:
                    nodes[number].parent = node
        files.root = nodes[ROOT]
        files.root.links = 1
        files._next = tree.next
        return files

    def open_root(self) -> int:
        """A handle for the directory itself."""
        return self._handle(self.root)

    # The file system, for WASI's functions.

    def open(self, name: bytes, flags: int, directory: int) -> int:
        parent = self._directory(directory)
        node = self._find(parent, name)
        writing = flags & (os.O_WRONLY | os.O_RDWR)
        if node is None:
            if not flags & os.O_CREAT:
                raise _fails(errno.ENOENT)
            node = self._make(parent, name, stat.S_IFREG)
        elif flags & os.O_CREAT and flags & os.O_EXCL:
            raise _fails(errno.EEXIST)
        elif node.kind == stat.S_IFLNK:
            raise _fails(errno.ELOOP)
        elif node.is_directory and (writing or flags & (os.O_CREAT | os.O_TRUNC)):
            raise _fails(errno.EISDIR)
        elif flags & O_DIRECTORY and not node.is_directory:
            raise _fails(errno.ENOTDIR)
        elif flags & os.O_TRUNC:
            self._resize(node, 0)
        return self._handle(node, bool(flags & os.O_APPEND))

    def step(self, name: bytes, directory: int) -> int:
        node = self._there(directory, name)
        if not node.is_directory:
            raise _fails(errno.ENOTDIR)
        return self._handle(node)

    def close(self, handle: int) -> None:
        node = self._handles.pop(handle).node
        node.opened -= 1
        self._forget(node)

    def fstat(self, handle: int) -> Status:
        return self._status(self._handles[handle].node)

    def stat(self, name: bytes, directory: int) -> Status:
        return self._status(self._there(directory, name))

    def readlink(self, name: bytes, directory: int) -> bytes:
        node = self._there(directory, name)
        if node.kind != stat.S_IFLNK:
            raise _fails(errno.EINVAL)
        return bytes(node.content)

    def names(self, handle: int, root: bytes, path: bytes) -> list[bytes]:
        return list(self._handles[handle].node.entries)

    def read(self, handle: int, n: int) -> bytes:
        opened = self._handles[handle]
        content = self.pread(handle, n, opened.position)
        opened.position += len(content)
        return content

    def pread(self, handle: int, n: int, offset: int) -> bytes:
        node = self._handles[handle].node
        if node.is_directory:
            raise _fails(errno.EISDIR)
        return bytes(node.content[offset : offset + n])

    def write(self, handle: int, content: bytes, offset: int | None = None) -> int:
        opened = self._handles[handle]
        node = opened.node
        at = offset
        if at is None:
            at = len(node.content) if opened.append else opened.position
        room = self.most - self.size + len(node.content) - at
        if content and room <= 0:
            raise _fails(errno.ENOSPC)
        if len(content) > room:
            content = content[:room]
        end = at + len(content)
        if content and end > len(node.content):
            self._resize(node, end)
        node.content[at:end] = content
        if offset is None:
            opened.position = end
        return len(content)

    def seek(self, handle: int, offset: int, whence: int) -> int:
        opened = self._handles[handle]
        start = {
            os.SEEK_SET: 0,
            os.SEEK_CUR: opened.position,
            os.SEEK_END: len(opened.node.content),
        }[whence]
        if not 0 <= start + offset <= LAST_OFFSET:
            raise _fails(errno.EINVAL)
        opened.position = start + offset
        return opened.position

    def truncate(self, handle: int, size: int) -> None:
        self._resize(self._handles[handle].node, size)

    def allocate(self, handle: int, offset: int, length: int) -> None:
        node = self._handles[handle].node
        self._resize(node, max(len(node.content), offset + length))

    def advise(self, handle: int, offset: int, length: int, advice: str) -> None:
        pass

    def sync(self, handle: int) -> None:
        pass

    datasync = sync

    def set_append(self, handle: int, append: bool) -> None:
        self._handles[handle].append = append

    def utime(self, handle: int, times: tuple[int, int]) -> None:
        node = self._handles[handle].node
        node.atime, node.mtime = times

    def utime_of(self, name: bytes, directory: int, times: tuple[int, int]) -> None:
        node = self._there(directory, name)
        node.atime, node.mtime = times

    def mkdir(self, name: bytes, directory: int) -> None:
        self._new(name, directory, stat.S_IFDIR)

    def symlink(self, target: bytes, name: bytes, directory: int) -> None:
        self._need(len(target))
        node = self._new(name, directory, stat.S_IFLNK, len(target))
        node.content[:] = target
        self.size += len(target)

    def rmdir(self, name: bytes, directory: int) -> None:
        node = self._there(directory, name)
        if not node.is_directory:
            raise _fails(errno.ENOTDIR)
        if node.entries:
            raise _fails(errno.ENOTEMPTY)
        self._remove(self._directory(directory), name)

    def unlink(self, name: bytes, directory: int) -> None:
        if self._there(directory, name).is_directory:
            raise _fails(errno.EISDIR)
        self._remove(self._directory(directory), name)

    def link(self, old: bytes, directory: int, new: bytes, new_directory: int) -> None:
        node = self._there(directory, old)
        if node.is_directory:
            raise _fails(errno.EPERM)
        parent = self._directory(new_directory)
        if self._find(parent, new) is not None:
            raise _fails(errno.EEXIST)
        self._add(parent, new, node)

    def rename(self, old: bytes, directory: int, new: bytes, new_directory: int) -> None:
        node = self._there(directory, old)
        before, after = self._directory(directory), self._directory(new_directory)
        there = self._find(after, new)
        if there is node:
            return
        if node.is_directory and _is_above(node, after):
            raise _fails(errno.EINVAL)
        if there is not None:
            if _is_above(there, before):
                raise _fails(errno.ENOTEMPTY)
            if node.is_directory and not there.is_directory:
                raise _fails(errno.ENOTDIR)
            if there.is_directory and not node.is_directory:
                raise _fails(errno.EISDIR)
            if there.entries:
                raise _fails(errno.ENOTEMPTY)
        elif len(new) > len(old):
            self._need(len(new) - len(old))
        # Held, so that it is not forgotten between its two names.
        node.opened += 1
        if there is not None:
            self._remove(after, new)
        self._remove(before, old)
        self._add(after, new, node)
        node.opened -= 1

    # Within.

    def _status(self, node: Node) -> Status:
        directories = sum(each.is_directory for each in node.entries.values())
        return Status(
            node.kind | _PERMISSIONS[node.kind],
            self.device,
            node.number,
            2 + directories if node.is_directory else node.links,
            len(node.content),
            node.atime,
            node.mtime,
        )

    def _handle(self, node: Node, append: bool = False) -> int:
        node.opened += 1
        self._last += 1
        self._handles[self._last] = Handle(node, 0, append)
        return self._last

    def _directory(self, handle: int) -> Node:
        """The directory of a handle. ENOENT where it has been removed."""
        node = self._handles[handle].node
        if not node.links:
            raise _fails(errno.ENOENT)
        return node

    def _find(self, parent: Node, name: bytes) -> Node | None:
        if len(name) > LONGEST_NAME:
            raise _fails(errno.ENAMETOOLONG)
        return parent if name == b"." else parent.entries.get(name)

    def _there(self, directory: int, name: bytes) -> Node:
        if name == b".":
            return self._handles[directory].node
        node = self._find(self._directory(directory), name)
        if node is None:
            raise _fails(errno.ENOENT)
        return node

    def _need(self, size: int) -> None:
        if size > self.most - self.size:
            raise _fails(errno.ENOSPC)

    def _resize(self, node: Node, size: int) -> None:
        more = size - len(node.content)
        if more > 0:
            self._need(more)
            node.content += bytes(more)
        else:
            del node.content[size:]
        self.size += more

    def _node(self, kind: int) -> Node:
        self._need(NODE)
        node = Node(self._next, kind)
        self._next += 1
        self.size += NODE
        return node

    def _new(self, name: bytes, directory: int, kind: int, room: int = 0) -> Node:
        parent = self._directory(directory)
        if self._find(parent, name) is not None:
            raise _fails(errno.EEXIST)
        return self._make(parent, name, kind, room)

    def _make(self, parent: Node, name: bytes, kind: int, room: int = 0) -> Node:
        """Something new, with room for so many bytes in it."""
        if len(name) > LONGEST_NAME:
            raise _fails(errno.ENAMETOOLONG)
        self._need(NODE + NAME + len(name) + room)
        node = self._node(kind)
        self._add(parent, name, node)
        return node

    def _add(self, parent: Node, name: bytes, node: Node) -> None:
        self._need(NAME + len(name))
        self.size += NAME + len(name)
        parent.entries[name] = node
        node.links += 1
        if node.is_directory:
            node.parent = parent

    def _remove(self, parent: Node, name: bytes) -> None:
        node = parent.entries.pop(name)
        self.size -= NAME + len(name)
        node.links -= 1
        if node.is_directory:
            node.parent = None
        self._forget(node)

    def _forget(self, node: Node) -> None:
        """What has no name and no handle is gone."""
        if not node.links and not node.opened:
            self.size -= NODE + len(node.content)
