"""What took long to make, kept for the next start: bytes by key, in a folder of the user's.

It knows nothing of modules. What is kept may be machine code, which is run as it is, so nothing
is read that somebody else could have written: the folder and the file must be the user's, and
nobody else's to write to. An entry's name has the digest of its content, so that what is damaged is
as good as not there. Where there can be no folder, or the disk is full, nothing is kept, and nobody
is told.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import chiwawa_runtime

T = TypeVar("T")

#: The environment variable that names the folder, or says that there is to be none.
SETTING = "CHIWAWA_CACHE"
OFF = ("", "off")
#: Bytes and entries that are kept, at most; the oldest go first.
MOST_BYTES = 2 << 30
MOST_ENTRIES = 4096
#: What is being written is there for so many seconds, at most, unless its writer has died.
WRITING = 3600

_ENTRY = re.compile(r"([0-9a-f]{64})-([0-9a-f]{64})\Z")
_TEMPORARY = ".tmp"
#: Where the system shows open files as paths.
_DESCRIPTORS = "/dev/fd"
_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
#: Never follow a link, nor wait for the writer of a pipe.
_CAUTIOUS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | _BINARY
#: Whether files can be named by their folder's descriptor, so that nobody can put another folder in
#: its place meanwhile.
_RELATIVE = {os.open, os.unlink, os.rename, os.stat} <= os.supports_dir_fd


def users_folder() -> str | None:
    """Where the user's environment and system have such things kept; None: nowhere."""
    said = os.environ.get(SETTING)
    if said is not None:
        return None if said in OFF else os.path.abspath(said)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "")
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        if not os.path.isabs(base):
            # So says the XDG Base Directory Specification.
            base = os.path.expanduser("~/.cache")
    # Of whom the system does not know, the home is a "~" that is in no place at all.
    return os.path.join(base, "chiwawa") if os.path.isabs(base) else None


def key_of(*parts: str | bytes) -> str:
    """The key of what was made of ``parts`` by this very code."""
    made = hashlib.sha256()
    for part in (code_version(), *parts):
        data = part.encode() if isinstance(part, str) else part
        made.update(len(data).to_bytes(8, "little"))
        made.update(data)
    return made.hexdigest()


@lru_cache(maxsize=1)
def code_version() -> str:
    """What changes whenever our own code does: the sizes and times of its files. Where there are no
    files, as in an archive, it is never the same."""
    made = hashlib.sha256()
    files = 0
    for package in (os.path.dirname(__file__), *chiwawa_runtime.__path__):
        for place, folders, names in os.walk(package):
            folders.sort()
            for name in sorted(names):
                if name.endswith(".py"):
                    status = os.stat(os.path.join(place, name))
                    made.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
                    files += 1
    return made.hexdigest() if files else os.urandom(32).hex()


@dataclass(frozen=True, slots=True)
class Cache:
    """Entries in ``folder``, which is made when something is kept; None: there are none. They take
    ``most`` bytes together, at most. Any number of processes may use one folder."""

    folder: str | None
    most: int = MOST_BYTES

    @classmethod
    def of_user(cls) -> Cache:
        return cls(users_folder())

    def read(self, key: str) -> bytes | None:
        """What was kept; None where there is nothing, or it cannot be trusted."""

        def content(path: str) -> bytes:
            with open(path, "rb") as file:
                return file.read()

        return self.use(key, content)

    def use(self, key: str, load: Callable[[str], T]) -> T | None:
        """What ``load`` makes of the path at which the entry's content is to be found as long as it
        runs; None as with ``read``."""
        with contextlib.suppress(OSError), self._opened() as folder:
            for name in folder.names():
                match = _ENTRY.match(name)
                if match is None or match[1] != key:
                    continue
                with contextlib.suppress(OSError), folder.trusted(name) as descriptor:
                    with open(descriptor, "rb", closefd=False) as file:
                        digest = hashlib.file_digest(file, "sha256").hexdigest()
                    if digest == match[2]:
                        folder.touch(descriptor)
                        os.lseek(descriptor, 0, os.SEEK_SET)
                        return load(folder.path_of(descriptor, name))
                # Damaged, or none of ours.
                folder.remove(name)
        return None

    def keep(self, key: str, *pieces: bytes | memoryview) -> None:
        """Keep ``pieces`` together under ``key``, in place of what was there, if that can be."""
        size = sum(map(len, pieces))
        if self.folder is None or size > self.most:
            return
        made = hashlib.sha256()
        for piece in pieces:
            made.update(piece)
        name = f"{key}-{made.hexdigest()}"
        temporary = f"{os.urandom(8).hex()}{_TEMPORARY}"
        with contextlib.suppress(OSError):
            _make(self.folder)
            with self._opened() as folder:
                try:
                    with os.fdopen(folder.create(temporary), "wb") as file:
                        file.writelines(pieces)
                    folder.rename(temporary, name)
                except BaseException:
                    folder.remove(temporary)
                    raise
                self._tidy(folder, name)

    def _tidy(self, folder: _Folder, latest: str) -> None:
        """Remove what ``latest``, which has just been written, stands in the place of, and the
        oldest of what is too much."""
        found: list[tuple[int, str, int]] = []
        for name in folder.names():
            with contextlib.suppress(OSError):
                status = folder.status(name)
                found.append((status.st_mtime_ns, name, status.st_size))
        # Of two processes that have just written under the same key, one is the later.
        found.sort(reverse=True)
        now = max((time for time, name, _ in found if name == latest), default=0)
        key = latest.partition("-")[0]
        total = count = 0
        for time, name, size in found:
            older = (time, name) < (now, latest)
            if name.endswith(_TEMPORARY):
                gone = time < now - WRITING * 10**9
            elif older and name.startswith(key):
                gone = True
            else:
                gone = name != latest and (total + size > self.most or count >= MOST_ENTRIES)
            if gone:
                folder.remove(name)
            else:
                total += size
                count += 1

    @contextlib.contextmanager
    def _opened(self) -> Iterator[_Folder]:
        """Raises OSError where there is no folder, or somebody else may write to it."""
        if self.folder is None:
            raise FileNotFoundError
        if not _RELATIVE:
            status = os.lstat(self.folder)
            _check(status, stat.S_ISDIR)
            yield _Folder(self.folder, None)
            return
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | _CAUTIOUS)
        try:
            _check(os.fstat(descriptor), stat.S_ISDIR)
            yield _Folder(self.folder, descriptor)
        finally:
            os.close(descriptor)


NO_CACHE = Cache(None)


class _Folder:
    """An open folder that can be trusted. All of its methods raise OSError, but for ``remove`` and
    ``touch``, which do what they can."""

    def __init__(self, path: str, descriptor: int | None) -> None:
        self.path = path
        self.descriptor = descriptor

    def at(self, name: str) -> str:
        return name if self.descriptor is not None else os.path.join(self.path, name)

    def names(self) -> list[str]:
        by_path = self.descriptor is None or os.scandir not in os.supports_fd
        with os.scandir(self.path if by_path else self.descriptor) as entries:
            return [entry.name for entry in entries]

    def status(self, name: str) -> os.stat_result:
        return os.stat(self.at(name), dir_fd=self.descriptor, follow_symlinks=False)

    @contextlib.contextmanager
    def trusted(self, name: str) -> Iterator[int]:
        """A descriptor of a file that nobody else can have written."""
        descriptor = os.open(self.at(name), os.O_RDONLY | _CAUTIOUS, dir_fd=self.descriptor)
        try:
            _check(os.fstat(descriptor), stat.S_ISREG)
            yield descriptor
        finally:
            os.close(descriptor)

    def path_of(self, descriptor: int, name: str) -> str:
        """A path of what is open there: of that very file, where the system knows such paths."""
        shown = f"{_DESCRIPTORS}/{descriptor}"
        return shown if os.path.exists(shown) else os.path.join(self.path, name)

    def create(self, name: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CAUTIOUS
        return os.open(self.at(name), flags, 0o600, dir_fd=self.descriptor)

    def rename(self, old: str, new: str) -> None:
        if self.descriptor is None:
            os.replace(self.at(old), self.at(new))
        else:
            os.rename(old, new, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def remove(self, name: str) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self.at(name), dir_fd=self.descriptor)

    def touch(self, descriptor: int) -> None:
        """Have it go later than what was used before."""
        if os.utime in os.supports_fd:
            with contextlib.suppress(OSError):
                os.utime(descriptor)


def _check(status: os.stat_result, kind: Callable[[int], bool]) -> None:
    """Raises OSError unless it is of that kind, and nobody else's to write to. Where the system has
    no users of files, the user's folders are the user's."""
    if not kind(status.st_mode):
        raise PermissionError("of another kind")
    if hasattr(os, "geteuid") and (
        status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ):
        raise PermissionError("somebody else's to write to")


def _make(folder: str) -> None:
    """Raises OSError."""
    if not os.path.isdir(folder):
        os.makedirs(os.path.dirname(folder), mode=0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)
