"""The sandbox: paths resolved component by component from a directory's descriptor.

The host's kernel never follows a symbolic link for a guest and never sees more than one component
of a path, so what somebody swaps meanwhile can make a call fail, but cannot lead it out. Links are
followed here, by hand, below the same directory; ``..`` above it, absolute paths and absolute
targets are EPERM. However links lead about, a walk is bounded: in the links that it follows, in
the components that these add, and in the directories that it holds open. This module knows nothing
of descriptors' rights or of the guest.
"""

from __future__ import annotations

import errno
import stat
from dataclasses import dataclass
from types import TracebackType

from chiwawa_runtime.wasi.abi import LOOP, NOTDIR, PERM, WasiError, errno_of
from chiwawa_runtime.wasi.file_system import FileStatus, FileSystem
from chiwawa_runtime.wasi.host_files import HOST

#: As many links as Linux follows in one path.
MAX_LINKS = 40
#: Components that the targets of these may have together.
MAX_LINKED = 4096
#: Directories on the way that are held open for the ``..`` that may follow.
_HELD = 64


@dataclass(slots=True)
class Root:
    """A directory that the guest was given. ``index`` is its place among those, ``files`` what it
    is in, ``handle`` a handle of that which lives as long as the guest, and ``host_path`` what a
    host's was opened by."""

    index: int
    guest_path: bytes
    handle: int
    read_only: bool
    host_path: bytes = b"."
    files: FileSystem = HOST

    def must_be_writable(self) -> None:
        """EPERM where the guest may change nothing."""
        if self.read_only:
            raise WasiError(PERM)


class Place:
    """Where a path leads: ``name``, one component, in the directory ``handle`` of ``files``.
    ``path`` is the way from the directory where resolution began, without links or dots;
    ``directory`` says that only a directory will do, because of a slash at the end. Use it in a
    ``with`` statement."""

    __slots__ = ("directory", "files", "held", "name", "names", "start")

    def __init__(self, files: FileSystem, start: int) -> None:
        self.files = files
        self.start = start
        #: Handles of the last of ``names``; of the last one at least.
        self.held: list[int] = []
        self.names: list[bytes] = []
        self.name = b"."
        self.directory = False

    @property
    def handle(self) -> int:
        return self.held[-1] if self.held else self.start

    @property
    def path(self) -> bytes:
        return b"/".join(self.names if self.name == b"." else [*self.names, self.name])

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    def _leave(self, keep: int = 0) -> None:
        while len(self.held) > keep:
            self.files.close(self.held.pop(0))

    def down(self, name: bytes) -> None:
        """Into the directory ``name``. Raises OSError, ENOTDIR where it is a link."""
        try:
            handle = self.files.step(name, self.handle)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE) or len(self.held) < 2:
                raise
            self._leave(1)
            handle = self.files.step(name, self.handle)
        self.held.append(handle)
        self.names.append(name)
        self._leave(_HELD)

    def up(self) -> None:
        """To the directory above, by the way that led here: what ``..`` is on the host may have
        been moved out of the sandbox."""
        if not self.names:
            raise WasiError(PERM)
        self.names.pop()
        self.files.close(self.held.pop())
        if self.names and not self.held:
            names, self.names = self.names, []
            for name in names:
                self.down(name)

    def link(self, name: bytes) -> bytes | None:
        """The target of the link ``name``, or None where it is something else or missing."""
        try:
            return self.files.readlink(name, self.handle)
        except OSError:
            return None

    def stat(self) -> FileStatus:
        """Of what is there; of a link itself. ENOTDIR where it had to be a directory."""
        result = self.files.stat(self.name, self.handle)
        if self.directory and not stat.S_ISDIR(result.st_mode):
            raise WasiError(NOTDIR)
        return result

    def must_be_directory_if_said(self) -> None:
        if self.directory:
            self.stat()


def is_component(name: bytes) -> bool:
    """Whether it names something in a directory, and nothing else."""
    return b"/" not in name and b"\0" not in name and name not in (b"", b".", b"..")


def components(path: bytes) -> list[bytes]:
    """Of a path that is not absolute. A slash at the end leaves an empty component."""
    if path.startswith(b"/"):
        raise WasiError(PERM)
    first, *rest = path.split(b"/")
    return [first, *(c for c in rest[:-1] if c), *rest[-1:]]


def resolve(
    files: FileSystem, start: int, path: bytes, follow: bool, slash_follows: bool = True
) -> Place:
    """Where ``path`` leads from the directory ``start`` of ``files``; what it names need not exist.

    A link at the end is followed with ``follow``, and with ``slash_follows`` also where a slash
    comes after it. Raises WasiError (EPERM out of the sandbox, ELOOP where links lead about for too
    long, or what the host says).
    """
    place = Place(files, start)
    try:
        _walk(place, components(path)[::-1], follow, slash_follows)
    except OSError as error:
        place._leave()
        raise WasiError(errno_of(error)) from None
    except WasiError:
        place._leave()
        raise
    return place


def _walk(place: Place, todo: list[bytes], follow: bool, slash_follows: bool) -> None:
    """``todo`` is a stack of components, the next one last."""
    links = linked = 0
    while todo:
        name = todo.pop()
        if name == b"" or name == b".":
            place.directory = place.directory or not todo
            continue
        if name == b"..":
            place.up()
            place.directory = place.directory or not todo
            continue
        # What is left is empty: this is the end, with a slash after it.
        slash = todo == [b""]
        last = not todo or slash
        place.directory = slash or (place.directory and last)
        if last and not (follow or (slash and slash_follows)):
            place.name = name
            return
        target = place.link(name) if last else None
        if last and target is None:
            place.name = name
            return
        if not last:
            try:
                place.down(name)
                continue
            except OSError:
                target = place.link(name)
                if target is None:
                    raise
        assert target is not None
        more = components(target) if target else []
        links += 1
        linked += len(more)
        if links > MAX_LINKS or linked > MAX_LINKED:
            raise WasiError(LOOP)
        todo.extend(more[::-1])
