"""The three standard streams of this process, any of which whoever started it may have closed.

The next file to be opened is given the lowest number that is free. Where that is below 3, what a
guest prints would be written into that file, and Python's own ``sys.stdout`` is None there. So the
command line calls ``occupy`` before it does anything else.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any, TextIO


class Nothing(io.RawIOBase):
    """A file with nothing to read in it, that keeps nothing of what is written: what a stream is
    that was closed."""

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        return 0

    def write(self, content: Any, /) -> int:
        return len(content)


def occupy() -> None:
    """Have the descriptors 0 to 2 open, and ``sys.stdin``, ``stdout`` and ``stderr`` be files."""
    take_numbers()
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(Nothing()), encoding="utf-8")
    if sys.stdout is None:
        sys.stdout = writer()
    if sys.stderr is None:
        sys.stderr = writer()


def take_numbers() -> None:
    """Open the null device for each of 0, 1 and 2 that is closed, so that nothing else can be."""
    # A host without that device has a directory here, into which nothing can be written either.
    for place, how in ((os.devnull, os.O_RDWR), (os.curdir, os.O_RDONLY)):
        with contextlib.suppress(OSError):
            while (descriptor := os.open(place, how)) <= 2:
                # What is started from here inherits its standard streams, as it would theirs.
                os.set_inheritable(descriptor, True)
            os.close(descriptor)
            return


def writer() -> TextIO:
    return io.TextIOWrapper(io.BufferedWriter(Nothing()), encoding="utf-8")
