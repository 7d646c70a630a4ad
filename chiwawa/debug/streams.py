"""What a program that is debugged reads and writes: reading again gives the same, and what was
shown once is not shown again when the program is run again.

Both are Python files as ``chiwawa_runtime.wasi.streams`` takes them, with no host descriptor behind
them as far as a program can see.
"""

from __future__ import annotations

import os
import stat

from chiwawa_runtime.wasi.waiting import wait


class Input:
    """Standard input. ``handle`` is a host descriptor, or None for nothing to read. All that has
    been read is kept, with how much each reading got. An end stays an end."""

    def __init__(self, handle: int | None) -> None:
        self.handle = handle
        self.regular = handle is not None and stat.S_ISREG(os.fstat(handle).st_mode)
        self.content = bytearray()
        #: Where ``content`` starts in what there is to read.
        self.start = 0
        #: The length of each reading, by where it began.
        self.lengths: dict[int, int] = {}
        self.place = 0
        #: The requests of the run that reads: they interrupt waiting.
        self.pending: list[str] = []

    def read1(self, n: int) -> bytes:
        """At most ``n`` bytes, none at the end. Raises Interrupted, OSError."""
        if n == 0:
            return b""
        at = self.place - self.start
        length = self.lengths.get(self.place)
        if length is None and at < len(self.content):
            length = len(self.content) - at
        if length is None:
            got = self.fresh(n)
            self.content += got
            length = self.lengths[self.place] = len(got)
        found = bytes(self.content[at : at + min(n, length)])
        self.place += len(found)
        return found

    read = read1

    def fresh(self, n: int) -> bytes:
        if self.handle is None:
            return b""
        if not self.regular:
            wait(self.handle, self.pending)
        return os.read(self.handle, n)

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place

    def seek(self, place: int) -> None:
        """Go to where a checkpoint says that the program was."""
        end = self.start + len(self.content)
        while self.regular and end < place:
            got = self.fresh(min(place - end, 1 << 16))
            if not got:
                break
            self.content += got
            end += len(got)
        if not self.start <= place <= end:
            # What is before cannot be had any more: it was read by another process.
            self.content.clear()
            self.lengths.clear()
            self.start = place
        self.place = place

    def forget(self) -> None:
        """Another program reads from here on: what can be read only once is new to it."""
        self.place = 0
        if not self.regular:
            self.content.clear()
            self.lengths.clear()
            self.start = 0


class Output:
    """Standard output or error, on the host descriptor ``handle``."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        #: How many bytes the program has written where it is now, and at most so far.
        self.place = 0
        self.shown = 0

    def write(self, content: bytes) -> int:
        new = content[max(0, self.shown - self.place) :]
        self.place += len(content)
        self.shown = max(self.shown, self.place)
        while new:
            new = new[os.write(self.handle, new) :]
        return len(content)

    def forget(self) -> None:
        """Another program, or another run, writes from here on."""
        self.place = self.shown = 0
