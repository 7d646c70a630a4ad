"""What the toolchain writes: files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TextIO

from chiwawa_runtime import files


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """A UTF-8 text file to write, with ``\\n`` for line ends everywhere, that becomes ``path`` when
    the block ends. Where it ends in an exception, ``path`` is as it was. What is there and no
    regular file (a pipe, a terminal) is simply written to. Raises OSError."""
    with (
        files.replacing(path) as place,
        open(place, "w", encoding="utf-8", newline="\n") as out,
    ):
        yield out


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Put ``content`` at ``path``, as ``replacing`` does. Raises OSError."""
    with files.replacing(path) as place, open(place, "wb") as out:
        out.write(content)
