"""Files that appear whole or not at all: what the toolchain writes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


@contextlib.contextmanager
def _beside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path to write to, which becomes ``path`` when the block ends."""
    if os.path.exists(path) and not os.path.isfile(path):
        # A pipe or a terminal cannot be replaced.
        yield Path(path)
        return
    target = Path(os.path.realpath(path))
    try:
        # That its name is too long would otherwise be found out when all has been done.
        target.lstat()
    except FileNotFoundError:
        pass
    except OSError as error:
        error.filename = os.fspath(path)
        raise
    # In the same folder, so that the renaming never crosses file systems; not by tempfile, whose
    # files are the user's alone.
    temporary = target.with_name(f".{target.name[:12]}.{os.urandom(6).hex()}.tmp")
    try:
        yield temporary
        temporary.replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.filename == os.fspath(temporary):
            # Nobody but us has heard of the temporary file.
            error.filename, error.filename2 = os.fspath(path), None
        raise


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """A UTF-8 text file to write, with ``\\n`` for line ends everywhere, that becomes ``path`` when
    the block ends. Where it ends in an exception, ``path`` is as it was. What is there and no
    regular file (a pipe, a terminal) is simply written to. Raises OSError."""
    with _beside(path) as place, place.open("w", encoding="utf-8", newline="\n") as out:
        yield out


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Put ``content`` at ``path``, as ``replacing`` does. Raises OSError."""
    with _beside(path) as place:
        place.write_bytes(content)
