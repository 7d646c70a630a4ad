"""A checkpoint's bytes on disk: written whole or not at all, and read from regular files only."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence

from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.files import is_special, replacing, temporary_beside

#: More than all memories, frames and tables of a 32-bit program take.
MAX_FILE_BYTES = 8 << 30
#: What a file system answers that cannot fsync a folder.
_NO_FSYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM)


def write_file(
    path: str | os.PathLike[str], data: bytes | Sequence[bytes | bytearray | memoryview]
) -> None:
    """Put ``data``, whole or in pieces, at ``path`` so that a crash at any moment leaves
    the old file or the new one.

    A temporary file beside it (``.NA….….tmp``, which a crash may leave behind) is flushed,
    fsynced and renamed, then the folder is fsynced. The file is the user's alone (mode 0600), as a
    program's memory may hold secrets. A link is followed. Raises CheckpointError, with nothing
    left behind, where that cannot be done, or ``path`` is there and no regular file.
    """
    with _writing(path) as target:
        with replacing(target) as place, os.fdopen(_create(place), "wb") as file:
            file.writelines([data] if isinstance(data, bytes) else data)
            file.flush()
            os.fsync(file.fileno())
        _fsync_folder(os.path.dirname(target))


def check_file(path: str | os.PathLike[str]) -> None:
    """Raise CheckpointError as ``write_file`` would, if that can be known before there is
    something to write. Nothing is left behind."""
    with _writing(path) as target:
        temporary = temporary_beside(target)
        os.close(_create(temporary))
        with contextlib.suppress(OSError):
            os.unlink(temporary)


@contextlib.contextmanager
def _writing(path: str | os.PathLike[str]) -> Iterator[str]:
    """The file that ``path`` means. Raises CheckpointError for one that cannot be replaced, and for
    what goes wrong in the block."""
    try:
        if is_special(path):
            raise CheckpointError(f"cannot write {os.fspath(path)}: not a regular file")
        yield os.path.realpath(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot write {os.fspath(path)}: {_reason(error)}") from error


def _create(path: str) -> int:
    """A descriptor of a new file, which is the user's alone."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _binary(), 0o600)


def read_file(path: str | os.PathLike[str], *, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """The bytes at ``path``. Raises CheckpointError where there is no such file, it cannot be read,
    is no regular file, or has more than ``max_bytes``."""
    shown = os.fspath(path)
    try:
        # Without O_NONBLOCK the open of a named pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _binary())
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise CheckpointError(f"cannot read {shown}: not a regular file")
            if status.st_size > max_bytes:
                raise CheckpointError(
                    f"cannot read {shown}: its {status.st_size} bytes are more than the "
                    f"{max_bytes} allowed"
                )
            return file.read(status.st_size)
    except MemoryError as error:
        raise CheckpointError(f"cannot read {shown}: not enough memory") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {shown}: {_reason(error)}") from error


def _binary() -> int:
    return getattr(os, "O_BINARY", 0)


def _fsync_folder(folder: str) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise
    finally:
        os.close(descriptor)


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
