"""The functions of a large module shared among processes, each of which rewrites some.

A helper is a Python of its own (``helper``), started from the same files. Where there can be none,
or one ends otherwise than with what was asked of it, whoever asked does its share, too.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import subprocess
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate

from chiwawa.module import Module
from chiwawa.validated import write_known

#: Fewer instructions than this are not worth a process.
ENOUGH = 250_000
#: A function rewritten: its body, its table, and what is likely in it (each empty where there is
#: nothing); how large its records are, and how many types of references they need; whether locals
#: of it are in memory; whether it sets back how much of that is used.
Part = tuple[bytes, bytes, bytes, int, int, bool, bool]


def processors() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def shares(lengths: Sequence[int], most: int) -> list[range]:
    """So many functions with these ``lengths``, in at most ``most`` runs that are much the same
    work, in order."""
    sums = list(accumulate(lengths))
    total = sums[-1] if sums else 0
    count = max(1, min(most, total // ENOUGH))
    ends = [bisect_left(sums, total * (i + 1) / count) + 1 for i in range(count - 1)]
    bounds = [0, *ends, len(lengths)]
    return [range(bounds[i], bounds[i + 1]) for i in range(count)]


@contextlib.contextmanager
def helpers(
    module: Module, counting: int, some: Sequence[range]
) -> Iterator[list[Callable[[], list[Part] | None]]]:
    """For each of these shares of ``module``, what waits until a helper has rewritten it; that
    gives None where it has not. They end with the block."""
    started: list[subprocess.Popen[bytes] | None] = []
    try:
        if some:
            task = marshal.dumps((module.binary, write_known(module), counting))
            for share in some:
                started.append(_start(task + marshal.dumps((share.start, share.stop))))
        yield [partial(_result, helper) for helper in started]
    finally:
        for helper in started:
            if helper is not None:
                assert helper.stdout is not None
                helper.kill()
                helper.stdout.close()
                helper.wait()


def _start(task: bytes) -> subprocess.Popen[bytes] | None:
    """A helper with something to do."""
    if not sys.executable:
        return None
    try:
        helper = subprocess.Popen(
            # -P: nothing is imported from the folder that it is started in.
            [sys.executable, "-P", "-m", "chiwawa.native.helper"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return None
    assert helper.stdin is not None
    # It reads all of that before it does anything.
    with contextlib.suppress(OSError), helper.stdin as pipe:
        pipe.write(task)
    return helper


def _result(helper: subprocess.Popen[bytes] | None) -> list[Part] | None:
    if helper is None:
        return None
    assert helper.stdout is not None
    data = helper.stdout.read()
    if helper.wait():
        return None
    parts: list[Part] = marshal.loads(data)
    return parts
