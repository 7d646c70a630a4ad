"""Standard input, output and error: a host descriptor, or a Python file object.

Nothing is buffered here: what the guest has written is out before its call returns, so there is
nothing to flush before a checkpoint, and nothing to lose or to write twice. The reader's position
is known only where the host can seek.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable
from typing import Any, BinaryIO

from chiwawa_runtime.engine.awaiting import wait_no_more
from chiwawa_runtime.errors import Interrupted, WasiExit
from chiwawa_runtime.standard_streams import Nothing
from chiwawa_runtime.wasi.abi import AGAIN, BADF, CHARACTER_DEVICE, INVAL, UNKNOWN, WasiError
from chiwawa_runtime.wasi.waiting import ready, wait

#: A pipe that is ready takes this many bytes without blocking (POSIX's least PIPE_BUF is smaller).
_PIECE = 4096
#: The status of a program that writes where nobody reads any more: that of SIGPIPE in a shell.
BROKEN_PIPE = 128 + 13


class Stream:
    """One of the three. ``file`` is used where there is no host descriptor (``handle`` None)."""

    __slots__ = ("_ahead", "file", "handle", "regular", "terminal", "wrote")

    def __init__(self, source: int | BinaryIO | Any) -> None:
        self.file: Any = None
        self.handle: int | None = None
        if isinstance(source, int):
            self.handle = source
        else:
            try:
                self.handle = source.fileno()
                # What Python's own buffer holds comes before what the guest writes.
                if source.writable():
                    source.flush()
            except (AttributeError, OSError, io.UnsupportedOperation):
                self.handle = None
                self.file = source
        self.regular = self.terminal = False
        #: Called with what has been written, where somebody wants to know.
        self.wrote: Callable[[bytes], object] | None = None
        #: Where a reader is to go on, until it reads.
        self._ahead: int | None = None
        if self.handle is not None:
            try:
                self.regular = stat.S_ISREG(os.fstat(self.handle).st_mode)
                self.terminal = os.isatty(self.handle)
            except OSError:
                # Closed by who started us. Its number is that of the next file to be opened.
                self.handle, self.file = None, Nothing()

    @property
    def filetype(self) -> int:
        return CHARACTER_DEVICE if self.terminal else UNKNOWN

    def read(self, n: int, pending: list[str], nonblocking: bool) -> bytes:
        """At most ``n`` bytes, at least one unless at the end. Raises OSError, Interrupted when a
        request comes first, and EAGAIN where that is asked for."""
        if self._ahead is not None:
            self.settle()
        if self.handle is None:
            read = getattr(self.file, "read1", self.file.read)
            try:
                content: bytes | None = read(n)
            except ValueError:
                raise WasiError(BADF) from None
            if content is None:
                raise WasiError(AGAIN)
            return content
        if not self.regular:
            if nonblocking and not ready([self.handle], [], 0):
                raise WasiError(AGAIN)
            wait(self.handle, pending)
        return os.read(self.handle, n)

    def write(self, content: bytes, pending: list[str], nonblocking: bool) -> int:
        """Write, and say how many bytes: fewer only where a request to stop came, or the rest
        would block and that is not wanted. A reader that is gone ends the program."""
        if self.handle is None:
            try:
                taken = self.file.write(content)
                flush = getattr(self.file, "flush", None)
                if flush is not None:
                    flush()
            except ValueError:
                # Python's word for a file that is closed.
                raise WasiError(BADF) from None
            # A raw file may take less than all; one that is no Python file may say nothing.
            return taken if isinstance(taken, int) else len(content)
        done = 0
        try:
            if self.regular:
                return write_all(self.handle, content)
            while done < len(content):
                if nonblocking and not ready([], [self.handle], 0):
                    raise WasiError(AGAIN)
                wait(self.handle, pending, writing=True)
                try:
                    done += os.write(self.handle, content[done : done + _PIECE])
                except BlockingIOError:
                    continue
        except BrokenPipeError:
            raise WasiExit(BROKEN_PIPE) from None
        except (Interrupted, WasiError, OSError):
            if done:
                wait_no_more()
                return done
            raise
        return done

    def position(self) -> int | None:
        """Where a reader is, or None where there is no such thing."""
        if self._ahead is not None:
            return self._ahead
        try:
            if self.handle is not None:
                return os.lseek(self.handle, 0, os.SEEK_CUR) if self.regular else None
            position = int(self.file.tell()) if self.file.seekable() else None
        except (OSError, AttributeError, ValueError):
            return None
        return position if position is not None and 0 <= position < 1 << 63 else None

    def move(self, position: int) -> None:
        """Have a reader go on at ``position``, where that can be done. It is moved when it reads:
        others may share the host's descriptor, and a restore may yet be refused."""
        if self.position() is not None:
            self._ahead = position

    def settle(self) -> None:
        """Move a reader to where it is to go on. Raises OSError, and EINVAL for a position that
        there cannot be."""
        position, self._ahead = self._ahead, None
        if position is None:
            return
        try:
            if self.handle is not None:
                os.lseek(self.handle, position, os.SEEK_SET)
            else:
                self.file.seek(position)
        except (ValueError, OverflowError):
            raise WasiError(INVAL) from None


def write_all(handle: int, content: bytes, offset: int | None = None) -> int:
    """Write to a regular file where it stands, or at ``offset``: how many bytes. Fewer than all
    only after an error; OSError where there is one at once."""
    done = 0
    try:
        while done < len(content):
            rest = content[done:] if done else content
            if offset is None:
                done += os.write(handle, rest)
            else:
                done += os.pwrite(handle, rest, offset + done)
    except (OSError, OverflowError):
        if not done:
            raise
    return done
