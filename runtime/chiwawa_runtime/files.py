"""Files that appear whole or not at all: each is written beside its place, and renamed."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

#: A temporary file's name has so many characters of the name of the file that it becomes: of a long
#: name there is room for a part.
_SHORT = 12


def is_special(path: str | os.PathLike[str]) -> bool:
    """Whether something is at ``path`` that is no regular file: a folder, a pipe, a terminal. Links
    are followed. Raises OSError, or ValueError for what is no path, where that cannot be known."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return False


def temporary_beside(path: str) -> str:
    """A path for what is to become ``path``, which is no link. Nothing is there, and it is in the
    same folder, so that the renaming never crosses file systems."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name[:_SHORT]}.{os.urandom(6).hex()}.tmp")


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[str]:
    """A path to write a file at, which becomes ``path`` when the block ends; a link is followed.
    Where the block ends in an exception, ``path`` is as it was, and nothing is left behind. What is
    there and no regular file cannot be replaced: it is the path to write at. Raises OSError, which
    names ``path``."""
    # A name that is too long is found out here, before all has been done.
    if is_special(path):
        yield os.fspath(path)
        return
    target = os.path.realpath(path)
    temporary = temporary_beside(target)
    try:
        yield temporary
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename in (temporary, target):
            # Nobody but us has heard of the temporary file.
            error.filename, error.filename2 = os.fspath(path), None
        raise
