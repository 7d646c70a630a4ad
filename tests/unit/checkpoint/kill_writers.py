"""Kill writers of a checkpoint at every call that they make, and look at what they leave.

Run by a test in a process of its own, which forks: ``kill_writers.py FOLDER``. Prints how many of
the killed left no file, how many the old one, the new one, and a temporary one; ends with an error
where a file is no whole checkpoint.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType

from chiwawa_runtime.checkpoint import decode, encode, read_file, write_file
from chiwawa_runtime.state.memory_image import MemoryImage
from chiwawa_runtime.state.snapshot import Snapshot
from chiwawa_runtime.state.types import Limits, MemoryType


def state(number: int, pages: int) -> bytes:
    memory = MemoryImage.of(MemoryType(Limits(1)), bytes([number]) * (pages * 65536))
    return encode(
        Snapshot("victim", bytes(32), "safepoint", number, (), (), (memory,), (), (), (), ())
    )


OLD, NEW = state(1, 4), state(2, 16)


def of_the_system(function: object) -> bool:
    owner = type(getattr(function, "__self__", None)).__module__
    return getattr(function, "__module__", None) == "posix" or owner in ("_io", "posix")


def killed_at(number: int, path: Path) -> bool:
    """Whether a writer of NEW was killed at its call of that number; otherwise it made fewer. Calls
    of the system and of files are counted, when they begin and when they end: between them nothing
    can be seen from outside."""
    child = os.fork()
    if child == 0:
        left = number

        def count(frame: FrameType, event: str, function: object) -> None:
            nonlocal left
            if event in ("c_call", "c_return") and of_the_system(function):
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1

        try:
            sys.setprofile(count)
            write_file(path, NEW)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def main(folder: Path) -> None:
    left = {b"": 0, OLD: 0, NEW: 0}
    strays = 0
    for before in (b"", OLD):
        path = folder / "checkpoint.bin"
        number, is_new = 0, False
        while True:
            path.unlink(missing_ok=True)
            if before:
                write_file(path, before)
            killed = killed_at(number, path)
            found = read_file(path) if path.exists() else b""
            assert found in (before, NEW), "half a file"
            assert found == NEW or not is_new, "it was there a call earlier"
            is_new = found == NEW
            if not killed:
                break
            left[found] += 1
            for stray in folder.glob(".checkpoint*.tmp"):
                strays += 1
                stray.unlink()
            number += 1
        assert is_new
        decode(read_file(path))
    print(*left.values(), strays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
