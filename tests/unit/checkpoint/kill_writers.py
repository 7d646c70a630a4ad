"""Kill writers of checkpoints at random moments, and look at what they leave.

Run by a test in a process of its own, which forks: ``kill_writers.py FOLDER ROUNDS``. Prints how
many rounds left no file, and how many a temporary one; ends with an error where a file is no whole
checkpoint.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from chiwawa_runtime.checkpoint import decode, encode, read_file, write_file
from chiwawa_runtime.memory_image import MemoryImage
from chiwawa_runtime.snapshot import Snapshot
from chiwawa_runtime.types import Limits, MemoryType


def states() -> list[bytes]:
    """Files of several sizes, each with its own number of safepoints."""
    found = []
    for number, pages in enumerate((1, 4, 16)):
        memory = MemoryImage.of(MemoryType(Limits(1)), bytes([number + 1]) * (pages * 65536))
        snapshot = Snapshot(
            "victim", bytes(32), "safepoint", number, (), (), (memory,), (), (), (), ()
        )
        found.append(encode(snapshot))
    return found


def write_for_ever(path: Path, files: list[bytes]) -> None:
    turn = 0
    while True:
        write_file(path, files[turn % len(files)])
        turn += 1


def main(folder: Path, rounds: int) -> None:
    files = states()
    rng = random.Random(5)
    nothing = strays = 0
    for number in range(rounds):
        # Every other round begins without a file.
        path = folder / f"checkpoint{number // 2}.bin"
        child = os.fork()
        if child == 0:
            try:
                write_for_ever(path, files)
            finally:
                os._exit(1)
        time.sleep(rng.random() * 0.02)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "the writer ended by itself"
        if path.exists():
            data = read_file(path)
            assert data in files, "not one of the files written"
            decode(data)
        else:
            nothing += 1
        left = [*folder.glob(".checkpoint*.tmp")]
        strays += bool(left)
        if rng.random() < 0.5:
            for stray in left:
                stray.unlink()
    # What the killed left behind is in nobody's way.
    write_file(path, files[0])
    assert read_file(path) == files[0]
    print(nothing, strays)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
